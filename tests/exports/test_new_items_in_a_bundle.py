"""The product's own bundle with films that came after it: recommended at once, to whom they are for."""

import pytest

from core.errors import DataError
from core.new_items import NewItem, items_of_titles
from core.recommender import Recommender
from exports.bundle import load_bundle

TREK = [
    "Star Trek: First Contact (1996)",
    "Star Trek: Generations (1994)",
    "Star Trek: The Wrath of Khan (1982)",
]
CHILDREN = ["Toy Story (1995)", "The Lion King (1994)", "Aladdin (1992)", "Beauty and the Beast (1991)"]
FRIGHT = ["Scream (1996)", "I Know What You Did Last Summer (1997)", "A Nightmare on Elm Street (1984)"]
NEW = [
    NewItem("Star Trek: Insurrection (1998)", "n1", ("Action", "Adventure", "Sci-Fi"), 1998),
    NewItem("Toy Story 2 (1999)", "n2", ("Animation", "Children's", "Comedy"), 1999),
    NewItem("Scream 3 (2000)", "n3", ("Horror", "Thriller"), 2000),
    *items_of_titles(["Star Trek: Nemesis (2002)"]),
]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return load_bundle(new_items=NEW)


def _rank(recommender: Recommender, history: list[str], title: str) -> int:
    done = recommender.recommend(history, k=len(recommender.catalog))
    return next(item.rank for item in done.items if item.title == title)


@pytest.mark.parametrize(
    ("new", "likes", "others"),
    [
        (NEW[0], TREK, (CHILDREN, FRIGHT)),
        (NEW[1], CHILDREN, (TREK, FRIGHT)),
        (NEW[2], FRIGHT, (TREK, CHILDREN)),
    ],
)
def test_a_new_film_leads_the_list_of_who_liked_its_like(
    new: NewItem, likes: list[str], others: tuple[list[str], ...], recommender: Recommender
) -> None:
    assert _rank(recommender, likes, new.title) <= 20
    assert all(_rank(recommender, other, new.title) > 20 for other in others)


def test_a_title_alone_does_far_better_than_chance_and_the_list_says_where_it_stands(
    recommender: Recommender,
) -> None:
    rank = _rank(recommender, TREK, "Star Trek: Nemesis (2002)")
    assert rank <= len(recommender.catalog) / 10
    [said] = [
        note
        for note in recommender.recommend(
            TREK, k=2, candidates=["Star Trek: Nemesis (2002)", "Emma (1996)"]
        ).notes
        if note.startswith("New:")
    ]
    assert said == "New: Star Trek: Nemesis (2002) stands at rank 1 of 2."


def test_a_new_film_can_be_a_persons_only_history(recommender: Recommender) -> None:
    done = recommender.recommend(["Star Trek: Insurrection"], k=20)
    assert any("Star Trek" in item.title for item in done.items)
    assert "New, read by its words alone: Star Trek: Insurrection (1998)." in done.notes
    assert sum(done.gate) == pytest.approx(1)
    assert recommender.catalog.search("insurr")[0].item_id == "n1"


def test_a_film_that_is_there_already_is_refused_in_a_sentence() -> None:
    with pytest.raises(DataError, match=r'"Heat \(1995\)" is in the catalogue already'):
        load_bundle(new_items=[NewItem("Heat (1995)")])
