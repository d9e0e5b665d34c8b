"""What experts stand for is computed, and says nothing where there is nothing to say."""

import numpy as np

from app.web.portraits import (
    choose_visitors,
    fill_visitors,
    join_words,
    portraits,
    trait_shares,
    traits_of,
)
from core.catalog import Catalog, Item

CATALOG = Catalog(
    [
        Item(0, "a", "Alien (1979)", 1979, ("Horror", "Sci-Fi")),
        Item(1, "b", "Babe (1995)", 1995, ("Comedy",)),
        Item(2, "c", "Casablanca (1942)", 1942, ("Drama",)),
        Item(3, "d", "Unknown"),
    ]
)


def test_shares_are_counted_over_each_history() -> None:
    names, shares = trait_shares(CATALOG, [(0, 1), (2,), ()])
    table = dict(zip(names, shares.T.tolist(), strict=True))
    assert table["Horror"] == [0.5, 0, 0]
    assert table["pre-1970 titles"] == [0, 1, 0]
    assert traits_of(CATALOG[3]) == ()


def test_an_expert_is_described_by_what_its_people_watch_more() -> None:
    generator = np.random.default_rng(0)
    lean = generator.random(400).astype(np.float32)
    gates = np.stack([lean, 1 - lean], axis=1)
    shares = np.stack([0.2 + 0.5 * lean, np.full(400, 0.3)], axis=1) + generator.normal(0, 0.02, (400, 2))
    first, second = portraits(gates, ["Horror", "Comedy"], shares)
    assert [trait.name for trait in first.traits] == ["Horror"]
    # The top tenth has a mean lean of about .95 (share .675), the rest of about .45 (share .425).
    assert abs(first.traits[0].lift - 0.675 / 0.425) < 0.1
    assert second.traits == ()
    assert first.leads + second.leads == 400 and first.group == 40


def test_a_gate_that_knows_nothing_gets_no_words() -> None:
    generator = np.random.default_rng(1)
    gates = generator.dirichlet(np.ones(4), 900).astype(np.float32)
    shares = generator.random((900, 20))
    words = [portrait.words for portrait in portraits(gates, [f"genre {i}" for i in range(20)], shares)]
    assert words == ["", "", "", ""]


def test_example_visitors_differ_in_what_they_are_named_by() -> None:
    generator = np.random.default_rng(2)
    names = ["Horror", "Comedy", "Drama", "War", "Musical", "Western"]
    shares = generator.dirichlet(np.full(6, 0.3), 200)
    chosen = choose_visitors(names, shares, 4)
    assert len({row for row, _ in chosen}) == 4
    assert len({words.split(" and ")[0] for _, words in chosen}) == 4


def test_where_nothing_has_a_genre_people_are_named_by_their_last_item() -> None:
    items = [Item(index, str(index), f"Game {index}") for index in range(5)]
    assert choose_visitors([], np.zeros((6, 0)), 3) == []
    lasts = [items[place] for place in (0, 2, 2, 1, 4, 3)]
    filled = fill_visitors([(3, "Jazz")], lasts, [1, 9, 5, 7, 0], "played", 3)
    assert filled == [(3, "Jazz"), (5, "last played: Game 3"), (1, "last played: Game 2")]
    assert fill_visitors(filled, lasts, [0] * 5, "played", 3) == filled, "there are enough"


def test_words_are_joined_as_people_do() -> None:
    assert [join_words(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
