"""What mattered: leaving out each item of the history, on the product's own trained bundle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.explanation import Explanation, omissions
from core.ordering import log_softmax
from core.recommender import Recommender
from exports.bundle import load_bundle
from tests.rounding import either, in_bf16

HISTORY = ["Toy Story (1995)", "Fargo (1996)", "Star Wars (1977)", "Pulp Fiction (1994)"]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return load_bundle()


@pytest.fixture(scope="module")
def explained(recommender: Recommender) -> Explanation:
    return recommender.without_each(HISTORY)


def test_one_batch_says_what_asking_again_without_each_item_says(
    recommender: Recommender, explained: Explanation
) -> None:
    """The naive twin: one question after the other, over the items that the whole history may get."""
    known = recommender.catalog.resolve(HISTORY)
    pool = [index for index in range(len(recommender.catalog)) if index not in known]
    whole = recommender.recommend(known, k=len(pool))
    before = {item.index: item for item in whole.items}
    first, top = whole.items[0].index, [item.index for item in whole.items[:10]]
    assert [item.index for item in explained.items] == top
    assert explained.gate == pytest.approx(whole.gate, abs=1e-5)
    coarse = in_bf16(recommender)  # where neighbours may change places
    rounding = either(coarse, fp32=1e-4, bf16=2e-3)
    for omission in explained.omissions:
        rest = [index for index in known if index != omission.index]
        alone = recommender.recommend(rest, k=len(pool), candidates=pool)
        now = {item.index: item for item in alone.items}
        assert omission.probability == pytest.approx(now[first].probability, abs=rounding)
        assert omission.rank == pytest.approx(now[first].rank, abs=2 if coarse else 0)
        assert omission.gate == pytest.approx(alone.gate, abs=1e-5)
        moved = sum(abs(now[index].probability - before[index].probability) for index in pool)
        assert omission.shift == pytest.approx(moved / 2, abs=10 * rounding)
        top_now = [item.index for item in alone.items[:10]]
        entered = tuple(index for index in top_now if index not in top)
        left = tuple(index for index in top if index not in top_now)
        assert coarse or (omission.entered, omission.left) == (entered, left)
        assert len(set(omission.entered) ^ set(entered)) <= 2 and len(set(omission.left) ^ set(left)) <= 2


def test_every_item_is_left_out_once_and_the_strongest_comes_first(
    recommender: Recommender, explained: Explanation
) -> None:
    assert sorted(o.index for o in explained.omissions) == sorted(recommender.catalog.resolve(HISTORY))
    shifts = [omission.shift for omission in explained.omissions]
    assert shifts == sorted(shifts, reverse=True) and 0 < shifts[-1] <= shifts[0] <= 1


def test_without_its_only_item_a_history_gets_the_most_watched(recommender: Recommender) -> None:
    only = recommender.without_each(["Fargo (1996)"]).omissions
    popular = recommender.recommend([], candidates=None, k=11)
    assert len(only) == 1 and only[0].gate == ()
    fargo = recommender.catalog.index_of("Fargo (1996)")
    top = [item.index for item in popular.items if item.index != fargo][:10]
    before = [item.index for item in recommender.recommend([fargo]).items]
    assert only[0].entered == tuple(index for index in top if index not in before)


def test_a_long_history_leaves_out_what_the_language_model_reads_and_says_so(
    recommender: Recommender,
) -> None:
    long = list(range(100, 100 + recommender.history_length + 5))
    explained = recommender.without_each(long, adapter="lora")
    assert sorted(o.index for o in explained.omissions) == long[5:]
    assert all(omission.gate == () for omission in explained.omissions)
    assert any("left out one at a time" in note for note in explained.notes)


def test_what_cannot_be_explained_is_refused_in_one_sentence(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="nothing to leave out"):
        recommender.without_each([])
    with pytest.raises(DataError, match="reads every title anew"):
        recommender.without_each(HISTORY, adapter="base")


ROWS = st.lists(st.lists(st.floats(-5, 5), min_size=6, max_size=6), min_size=2, max_size=5)


@given(ROWS, st.integers(1, 6))
def test_what_enters_and_what_leaves_are_as_many_and_nothing_moves_without_a_change(
    rows: list[list[float]], k: int
) -> None:
    scores = log_softmax(np.array([*rows, rows[0]]))
    left_out = list(range(100, 100 + len(rows)))
    told = omissions(left_out, np.arange(10, 16), scores, [()] * len(rows), k)
    assert all(len(omission.entered) == len(omission.left) <= k for omission in told)
    assert all(0 <= omission.shift <= 1 + 1e-9 for omission in told)
    unchanged = next(omission for omission in told if omission.index == left_out[-1])
    assert (unchanged.shift, unchanged.rank, unchanged.entered) == (0.0, 1, ())


def test_many_people_are_scored_as_one_after_the_other(recommender: Recommender) -> None:
    histories = [recommender.catalog.resolve(HISTORY), [10, 11], list(range(200, 260))]
    candidates = np.array([[300, 301, 302], [400, 5, 6], [7, 8, 9]])
    for adapter in recommender.adapters:
        coarse = 0.5 if adapter == "base" else 0.25  # base: sums over titles of many words, 0.29 apart on one
        rounding = either(in_bf16(recommender), fp32=2e-3, bf16=coarse)
        together = recommender.score_candidates(histories, candidates, adapter)
        for history, row, scores in zip(histories, candidates, together, strict=True):
            alone = recommender.recommend(
                history, adapter=adapter, candidates=row.tolist(), exclude_seen=False
            )
            by_item = {item.index: item.score for item in alone.items}
            assert scores == pytest.approx([by_item[int(index)] for index in row], abs=rounding)
