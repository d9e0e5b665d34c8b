"""Several bundles on one server: asked by name, opened when first wanted, each with a page of its own."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.access import Access, Rate
from app.server import create_app
from app.web.service import Service
from app.web.shelf import Offer, Shelf, UnknownDataset, open_shelf
from core.errors import BundleError
from exports.bundle_info import DEFAULT_BUNDLE
from quant.nf4 import linears_4bit
from tests.command_line import ilora

BANDS = ["The 007 Band", "a12"]


@pytest.fixture(scope="module")
def both(shelf: Shelf) -> Iterator[TestClient]:
    with TestClient(create_app(shelf), base_url="http://127.0.0.1") as client:
        yield client


def test_a_second_page_is_made_before_the_eyes_of_who_comes_first(both: TestClient, shelf: Shelf) -> None:
    assert 'href="data/music/"' in both.get("/config").json()["components"][_head(both, "")]["props"]["value"]
    waiting = both.get("/data/music/?tab=compare")
    assert waiting.status_code == 200 and "Opening Artists" in waiting.text
    while not (answer := both.get("/data/music/opening").json())["open"]:
        assert answer["problem"] is None
        assert answer["steps"] == list(shelf.steps("music"))[: len(answer["steps"])]
        time.sleep(0.25)
    told = shelf.steps("music")
    assert "Reading my-music." in told and "Checking the bundle." in told
    assert not [step for step in told if step.startswith("Loading the backbone")]  # it is there already
    page = both.get("/data/music/config").json()
    head = page["components"][_head(both, "/data/music")]["props"]["value"]
    assert 'href="../../"' in head and 'href="../../data/music/" aria-current=page' in head
    assert "listener" in page["title"] and page["root"].endswith("/data/music")
    assert "viewer" in both.get("/config").json()["title"]


def _head(client: TestClient, page: str) -> int:
    parts = client.get(f"{page}/config").json()["components"]
    return next(i for i, part in enumerate(parts) if part["props"].get("elem_id") == "head")


def test_a_question_names_the_data_set_or_the_bundle(both: TestClient, shelf: Shelf) -> None:
    for name in ("music", "my-music"):
        answer = both.post("/api/recommend", json={"history": BANDS, "dataset": name}).json()
        assert len(answer["items"]) == 10 and all(line["title"].endswith(" Band") for line in answer["items"])
    assert both.get("/api/search", params={"q": "007", "dataset": "music"}).json()[0]["id"] == "a7"
    films = both.post("/api/recommend", json={"history": ["Fargo (1996)"]}).json()["items"]
    named = both.post("/api/recommend", json={"history": ["Fargo (1996)"], "dataset": "movielens"}).json()
    assert named["items"] == films
    crossed = both.post("/api/recommend", json={"history": BANDS}).json()
    assert crossed["kind"] == "UnknownItem"
    assert [offer["name"] for offer in both.get("/api/datasets").json()] == ["movielens", "music"]
    assert both.get("/health").json()["bundles"] == ["movielens", "music"]


def test_an_unknown_data_set_is_refused_with_those_there_are(both: TestClient, shelf: Shelf) -> None:
    asked = {"history": ["Fargo (1996)"], "dataset": "steam"}
    for name in ("recommend", "compare", "explain", "route"):
        answer = both.post(f"/api/{name}", json=asked)
        assert answer.status_code == 422 and answer.json()["kind"] == "UnknownDataset"
        assert answer.json()["suggestions"] == ["movielens", "music"] and '"steam"' in answer.json()["detail"]
    assert both.get("/api/search", params={"q": "a", "dataset": "steam"}).status_code == 422
    assert both.get("/data/steam/").status_code == 404
    with pytest.raises(UnknownDataset, match="movielens, music"):
        shelf.find("steam")


def test_the_first_data_set_has_one_address(both: TestClient) -> None:
    answer = both.get("/data/movielens/?person=7", follow_redirects=False)
    assert answer.headers["location"] == "../../?person=7"
    answer = both.get("/data/music?person=u7", follow_redirects=False)
    assert answer.headers["location"] == "music/?person=u7"


def test_the_limit_counts_what_is_asked_on_any_page(shelf: Shelf) -> None:
    async def nobody(scope: object, receive: object, send: object) -> None: ...

    access = Access(nobody, None, Rate(1))
    scope = {"type": "http", "client": ("1.2.3.4", 1), "path": "/data/music/gradio_api/queue/join"}
    assert access._refusal(scope) is None
    refused = access._refusal(scope)
    assert refused is not None and refused.status_code == 429


def test_a_data_set_that_two_bundles_have_names_neither(service: Service) -> None:
    offers = [Offer(name, "movielens", "Movies") for name in ("ours", "theirs")]
    shelf = Shelf(offers, lambda *_: service, service.turnstile, service.meter, say=lambda _: None)
    assert shelf.find("theirs") == offers[1] and shelf.find() == offers[0]
    with pytest.raises(UnknownDataset, match='no data set "movielens" here; there is: ours, theirs'):
        shelf.find("movielens")


def test_weights_decoded_once_give_the_same_lists(service: Service) -> None:
    cached = open_shelf([DEFAULT_BUNDLE], say=lambda _: None, weights="cached").service().recommender
    assert list(linears_4bit(cached.ranker.model.decoder)) == []
    history = ["Toy Story (1995)", "Fargo (1996)", "Heat (1995)"]
    found, expected = (
        {item.item_id: item.score for item in r.recommend(history, k=20).items}
        for r in (cached, service.recommender)
    )
    both = found.keys() & expected.keys()
    assert len(both) >= 18  # all 20 where 4-bit weights are not packed (quant.nf4); packed, sums are rounded
    assert [found[item] for item in both] == pytest.approx([expected[item] for item in both], abs=0.1)


def test_two_bundles_of_one_name_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(BundleError, match='both called "movielens"'):
        open_shelf([DEFAULT_BUNDLE, DEFAULT_BUNDLE], say=lambda _: None)


def test_new_items_belong_to_one_bundle(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("title\nFargo 2 (2030)\n", encoding="utf-8")
    two = ("--bundle", DEFAULT_BUNDLE, "--bundle", DEFAULT_BUNDLE)
    refused = ilora("serve", "--port", 0, *two, "--items", items)
    assert refused.returncode == 2 and "belongs to one bundle, and 2 are named" in refused.stderr


def test_a_bundle_that_cannot_be_opened_says_why_and_may_be_tried_again(service: Service) -> None:
    tries = []

    def opening(*_: object) -> Service:
        tries.append(1)
        if len(tries) == 1:
            raise BundleError("It is damaged.")
        return service

    shelf = Shelf(Shelf.of(service).offers, opening, service.turnstile, service.meter, say=lambda _: None)
    with pytest.raises(BundleError, match="damaged"):
        shelf.service()
    assert shelf.service() is shelf.service("movielens") is service and len(tries) == 2
