"""The other questions that programs ask: compare, explain, route; by HTTP and by Gradio's client alike."""

import pytest
from fastapi.testclient import TestClient

from app.web.service import Service

HISTORY = ["Fargo (1996)", "Heat (1995)", "Seven (Se7en) (1995)"]


def test_a_what_if_mixture_is_used_and_a_meaningless_one_refused(
    client: TestClient, service: Service
) -> None:
    between = [0] * (service.recommender.num_experts - 2)
    done = client.post("/api/recommend", json={"history": HISTORY, "gate": [2, *between, 2]}).json()
    assert done["gate"] == pytest.approx([0.5, *between, 0.5])
    refused = client.post("/api/recommend", json={"history": HISTORY, "gate": [1, 2]})
    assert refused.status_code == 422 and refused.json()["kind"] == "DataError"


def test_the_same_titles_are_ordered_by_every_adapter(client: TestClient, service: Service) -> None:
    named = ["Titanic (1997)", "258", "Scream (1996)"]
    done = client.post("/api/compare", json={"history": HISTORY, "candidates": named, "k": 3}).json()
    assert set(done["lists"]) == set(service.recommender.adapters)
    for listed in done["lists"].values():
        assert {line["id"] for line in listed["items"]} == set(done["candidates"]) and listed["ranked"] == 3


def test_every_title_of_the_history_is_explained_strongest_first(client: TestClient) -> None:
    done = client.post("/api/explain", json={"history": HISTORY, "k": 5}).json()
    assert {row["title"] for row in done["without"]} == set(HISTORY) and len(done["items"]) == 5
    shifts = [row["shift"] for row in done["without"]]
    assert shifts == sorted(shifts, reverse=True)
    for row in done["without"]:
        assert len(row["entered"]) == len(row["left"]) <= 5 and sum(row["gate"]) == pytest.approx(1, abs=1e-5)
    empty = client.post("/api/explain", json={"history": []})
    assert empty.status_code == 422 and "nothing to leave out" in empty.json()["detail"]


def test_routing_alone_gives_the_gate_of_the_list(client: TestClient, service: Service) -> None:
    routed = client.post("/api/route", json={"history": HISTORY}).json()
    assert routed["gate"] == pytest.approx(service.recommend(HISTORY).gate, abs=1e-5)
    assert len({item["id"] for item in routed["retrieved"]}) == len(routed["retrieved"]) >= 20


def test_two_hundred_titles_one_and_none_are_answered_and_emoji_refused(
    client: TestClient, service: Service
) -> None:
    ids = [item.item_id for item in service.catalog.items[:200]]
    for history in (ids, ids[:1], []):
        answer = client.post("/api/recommend", json={"history": history})
        assert answer.status_code == 200 and len(answer.json()["items"]) == 10
    refused = client.post("/api/recommend", json={"history": ["🎬🍿"]}).json()
    assert refused["kind"] == "UnknownItem" and "🎬🍿" in refused["detail"]


def test_every_route_and_every_mistake_is_described(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    for name in ("recommend", "compare", "explain", "route"):
        route = described["paths"][f"/api/{name}"]["post"]
        assert route["summary"] and {"200", "422", "503"} <= set(route["responses"])
        told = route["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
        assert told.endswith("/Mistake")
    fields = described["components"]["schemas"]["AskRecommend"]["properties"]
    assert all("description" in field for field in fields.values())
