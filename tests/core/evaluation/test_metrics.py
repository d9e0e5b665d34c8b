"""Metrics against numbers counted by hand and against independent implementations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from core.data.dataset import Case
from core.evaluation.metrics import (
    best_lists,
    catalogue_coverage,
    hit_rate_at,
    hit_rate_at_1,
    mrr,
    ndcg_at,
    ranks_among,
)


def test_ranks_count_what_scores_higher() -> None:
    scores = [[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, 0.9, 0.5]]
    assert ranks_among(scores, [0, 1, 2]).tolist() == [3, 1, 2]


def test_a_method_that_scores_all_alike_hits_nothing() -> None:
    scores = np.zeros((4, 20))
    assert ranks_among(scores, [0, 5, 10, 19]).tolist() == [20] * 4
    assert ranks_among(scores, [0, 5, 10, 19], ties="average").tolist() == [10.5] * 4


def test_a_nan_score_is_a_miss_and_minus_infinity_is_not() -> None:
    scores = [[math.nan, 1.0, 0.0], [-math.inf, 1.0, 0.0], [1.0, math.nan, 0.0]]
    assert ranks_among(scores, [1, 1, 0]).tolist() == [3, 1, 3]


def test_rates_by_hand() -> None:
    ranks = [1, 2, 3, 10, 11]
    assert hit_rate_at_1(ranks) == 0.2
    assert hit_rate_at(ranks, 10) == 0.8
    assert mrr(ranks) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 10 + 1 / 11) / 5)
    assert ndcg_at(ranks, 3) == pytest.approx((1 + 1 / math.log2(3) + 1 / 2) / 5)


@pytest.mark.parametrize("metric", [hit_rate_at_1, mrr, lambda ranks: ndcg_at(ranks, 10)])
def test_no_cases_is_no_number(metric: object) -> None:
    with pytest.raises(ValueError, match="no cases"):
        metric([])  # type: ignore[operator]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_ndcg_agrees_with_scikit_learn(k: int) -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(200, 20))
    targets = generator.integers(0, 20, size=200)
    relevance = np.eye(20)[targets]
    assert ndcg_at(ranks_among(scores, targets), k) == pytest.approx(ndcg_score(relevance, scores, k=k))


def test_hit_rate_and_reciprocal_rank_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(200, 20))
    targets = generator.integers(0, 20, size=200)
    ranks = ranks_among(scores, targets)
    for k in (1, 5, 10):
        theirs = top_k_accuracy_score(targets, scores, k=k, labels=range(20))
        assert hit_rate_at(ranks, k) == pytest.approx(theirs)
    assert mrr(ranks) == pytest.approx(label_ranking_average_precision_score(np.eye(20)[targets], scores))


@st.composite
def _tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Small integer scores, so that ties are common, and a target for each row."""
    n, c = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    scores = draw(arrays(np.float64, (n, c), elements=st.integers(-3, 3)))
    return scores, draw(arrays(np.int64, n, elements=st.integers(0, c - 1)))


@given(_tables(), st.randoms())
def test_ranks_do_not_depend_on_the_order_of_the_candidates(
    table: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    scores, targets = table
    order = np.arange(scores.shape[1])
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = np.argsort(order)[targets]
    assert np.array_equal(ranks_among(scores[:, order], moved), ranks_among(scores, targets))


@given(_tables())
def test_ranks_depend_on_the_order_of_the_scores_alone(table: tuple[np.ndarray, np.ndarray]) -> None:
    scores, targets = table
    ranks = ranks_among(scores, targets)
    assert np.array_equal(ranks_among(np.exp(scores) + 5, targets), ranks)
    assert (ranks >= 1).all() and (ranks <= scores.shape[1]).all()
    assert (ranks >= ranks_among(scores, targets, ties="average")).all()


@given(_tables(), st.integers(1, 4))
def test_a_better_score_for_the_target_is_never_a_worse_rank(
    table: tuple[np.ndarray, np.ndarray], gain: int
) -> None:
    scores, targets = table
    better = scores.copy()
    better[np.arange(len(targets)), targets] += gain
    assert (ranks_among(better, targets) <= ranks_among(scores, targets)).all()


def test_best_lists_are_without_what_was_seen_and_equal_scores_go_by_index() -> None:
    scores = np.array([[9, 1, 5, 5, 7]], dtype=np.float32)
    assert best_lists(scores, [Case(0, (0, 1), 2)], k=3).tolist() == [[4, 2, 3]]
    assert scores[0, 0] == 9  # the caller's scores are left alone


def test_coverage_by_hand() -> None:
    assert catalogue_coverage([[0, 1], [1, 2], [0, 2]], 6) == 0.5
    assert catalogue_coverage(["i7", "i3", "i7"], 4) == 0.5
