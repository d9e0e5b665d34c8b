"""From somebody's CSV to a server that answers, in four commands; and on from there when the data grows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.server import create_app
from app.web.service import open_service
from core.assembly import new_model
from core.data.registry import load_dataset
from core.encoder import TorchRouter
from core.errors import RunError
from core.prompt import Wording
from core.ranker import Ranker
from core.training.continuing import grown, lay_in, open_start
from core.training.finished import open_ranker, read_finished
from core.training.recipe import load_recipe
from core.training.run import open_backbone
from exports.bundle_check import read_info
from tests.command_line import ilora
from tests.core.training.conftest import shallow_folder
from tests.own_data import QUICK, own_cache, set_, write_interactions

__all__ = ["shallow_folder"]

SHOP = 60
"""Customers at first; ten more come."""


@pytest.fixture(scope="module")
def shop(shallow_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of somebody who has typed three of the four commands."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        movielens = load_dataset("movielens")
        cache = own_cache(folder / "cache")
        patch.setenv("ILORA_CACHE", str(cache))
        patch.chdir(folder)
        write_interactions(movielens, folder / "shop.csv", range(SHOP))
        write_interactions(movielens, folder / "more.csv", range(SHOP + 10), more=40)
        quick = set_(*QUICK, f"model.backbone={shallow_folder}")
        for command in (
            ("data", "import", "shop.csv", "--kind", "film"),
            ("train", "--recipe", "laptop", "--dataset", "shop", *quick),
            ("bundle", "--ilora", "runs/shop-ilora"),
            ("data", "import", "shop.csv", "--kind", "film", "--name", "same"),
            ("data", "import", "more.csv", "--kind", "film", "--name", "shop-2"),
        ):
            done = ilora(*command)
            assert done.returncode == 0, (command, done.stderr)
            if command[0] != "data":
                assert "Next: ilora" in done.stdout
        yield folder


def test_the_page_and_the_interface_answer_from_a_bundle_of_one_run(shop: Path) -> None:
    service = open_service(Path("bundles/shop"), say=lambda _: None)
    assert service.recommender.adapters == ("base", "ilora")
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        assert client.get("/health").status_code == 200 and client.get("/").status_code == 200
        asked = {"history": ["Toy Story (1995)", "Fargo"], "k": 3}
        assert len(client.post("/api/recommend", json=asked).json()["items"]) == 3
        assert client.post("/api/compare", json={"history": asked["history"]}).status_code == 200


def test_the_card_tells_of_ones_own_data_and_how_the_bundle_was_made(shop: Path) -> None:
    card = (shop / "bundles" / "shop" / "README.md").read_text(encoding="utf-8")
    assert "data set **shop**" in card and "GroupLens" not in card
    assert "- **data**: Imported from shop.csv; the terms of these files apply." in card
    assert "ilora bundle --ilora runs/shop-ilora --out bundles/shop" in card
    info = read_info(shop / "bundles" / "shop")
    assert 1 <= info.adapters["ilora"].new_item_stretch <= 4


def test_whoever_names_no_adapter_is_answered_by_the_one_there_is_and_new_items_are_ranked(
    shop: Path,
) -> None:
    (shop / "new.csv").write_text("title\nFargo 2 (2030)\nHeat 2 (2031)\n")
    done = ilora(
        *("recommend", "Toy Story (1995)", "Fargo 2", "--bundle", "bundles/shop", "--k", "3"),
        *("--items", "new.csv", "--new-item", "Toy Story 2 (1999)"),
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "New, read by its words alone: Fargo 2 (2030).",
        "Heat 2 (2031) stands",
        "Toy Story 2 (1999) st",
    ):
        assert said in " ".join(done.stdout.split())


def test_a_run_that_goes_on_from_a_bundle_is_bundled_like_any_other(shop: Path) -> None:
    done = ilora("train", "--from-bundle", "bundles/shop", "--dataset", "shop-2", *set_("run.max_steps=1"))
    assert done.returncode == 0, done.stderr
    assert "runs/shop-2-ilora" in done.stdout
    listed = ilora("runs", "--json").stdout
    assert "shop-2-ilora" in listed and "start" not in listed
    run, before = (read_finished(shop / "runs" / name) for name in ("shop-2-ilora", "shop-ilora"))
    assert run.prepared.features.scale == pytest.approx(before.prepared.features.scale_now)
    again = ilora("train", "--from-bundle", "bundles/shop", "--dataset", "shop", *set_("run.max_steps=1"))
    assert again.returncode == 2 and "holds another run already" in again.stderr


@pytest.mark.parametrize(("later", "new"), [("same", 0), ("shop-2", 42)])
def test_before_a_single_step_nobodys_scores_have_changed(later: str, new: int, shop: Path) -> None:
    """The shop's weights over its own data set, and grown to one that came later."""
    run = read_finished(Path("runs/shop-ilora"))
    before, now = load_dataset("shop"), load_dataset(later)
    old, old_router = open_ranker(run, open_backbone(run.recipe, trainable=False), before)
    recipe = load_recipe("runs/shop-ilora/recipe.yaml", dataset=later)
    start = open_start(run.folder, now, recipe)
    assert start.new_items == new == now.num_items - before.num_items
    backbone = open_backbone(recipe, trainable=False)
    wording = Wording.of(backbone.tokenizer, now.catalog, now.domain)
    prepared = grown(start, now, recipe, backbone, wording)
    model = new_model(backbone, prepared.features, recipe)
    lay_in(start, model, prepared, "ilora")
    ranker = Ranker(model, wording, recipe.rows.history_length, prepared.title_prior)
    router = TorchRouter(prepared.encoder, model.gate_of("ilora"))

    had = [sequence[:10] for sequence in before.sequences[:20]]
    place = [now.catalog.index_of(item.item_id) for item in before.catalog.items]
    moved = [[place[item] for item in history] for history in had]
    assert (moved == [list(history) for history in had]) == (new == 0)
    was, routed = old_router.route(had), router.route(moved)
    torch.testing.assert_close(torch.from_numpy(routed.gate), torch.from_numpy(was.gate))
    # Items that were held out then and are trained on now are learned of for the first time.
    still = run.prepared.features.known | ~prepared.features.known[place]
    assert bool(still.all()) == (new == 0) and int(still.sum()) > 150
    for expected, found in (
        (torch.from_numpy(was.scores), torch.from_numpy(routed.scores)),
        (old.score(was, had), ranker.score(routed, moved)),
    ):
        torch.testing.assert_close(found[:, place][:, still], expected[:, still], rtol=0, atol=1e-5)


def test_a_data_set_that_would_ask_what_was_taught_is_refused(shop: Path) -> None:
    """The same customers with their histories turned round: what was first is asked now."""
    header, *rows = (shop / "shop.csv").read_text(encoding="utf-8").splitlines()
    (shop / "turned.csv").write_text("\n".join([header, *reversed(rows)]), encoding="utf-8")
    done = ilora(
        *("data", "import", "turned.csv", "--kind", "film", "--name", "turned", "--time-column", "none")
    )
    assert done.returncode == 0, done.stderr
    recipe = load_recipe("runs/shop-ilora/recipe.yaml", dataset="turned")
    with pytest.raises(RunError, match="would be asked about what runs/shop-ilora was trained on"):
        open_start(Path("runs/shop-ilora"), load_dataset("turned"), recipe)


def test_a_data_set_replaced_under_its_old_name_is_refused(shop: Path) -> None:
    recipe = load_recipe("runs/shop-ilora/recipe.yaml", dataset="shop")
    other = replace(load_dataset("shop-2"), name="shop")
    with pytest.raises(RunError, match="import what has grown under a name of its own"):
        open_start(Path("runs/shop-ilora"), other, recipe)
