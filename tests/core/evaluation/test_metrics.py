"""Metrics against numbers counted by hand and against independent implementations."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import ndcg_score

from core.evaluation.metrics import (
    hit_rate_at,
    hit_rate_at_1,
    mcnemar_exact,
    mrr,
    ndcg_at,
    paired_bootstrap,
    ranks_among,
    wilson,
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


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts: tuple[int, int]) -> None:
    hits, n = counts
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_as_known_from_the_protocol() -> None:
    # FACTS: popularity .276 [.248, .305] at n = 943.
    low, high = wilson(260, 943)
    assert (round(low, 3), round(high, 3)) == (0.248, 0.305)


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_rate_has_no_interval(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        wilson(hits, n)


def test_bootstrap_agrees_with_the_normal_interval_and_repeats_by_seed() -> None:
    generator = np.random.default_rng(1)
    a = generator.random(900) < 0.40
    b = generator.random(900) < 0.48
    found = paired_bootstrap(a, b, seed=3)
    difference = b.astype(float) - a.astype(float)
    half = 1.96 * difference.std() / math.sqrt(900)
    assert found.mean == pytest.approx(difference.mean())
    assert found.low == pytest.approx(difference.mean() - half, abs=0.005)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.005)
    assert found == paired_bootstrap(a, b, seed=3) != paired_bootstrap(a, b, seed=4)


def test_bootstrap_is_signed_b_minus_a_and_uses_the_pairing() -> None:
    base = np.random.default_rng(2).random(500)
    better = paired_bootstrap(base, base + 0.01, seed=0, samples=500)
    # Paired, a constant gain has no spread at all, however noisy the users are.
    assert better.low == pytest.approx(0.01) and better.high == pytest.approx(0.01)


def test_bootstrap_refuses_what_is_not_paired() -> None:
    for a, b in (([1.0], [1.0, 2.0]), ([], [])):
        with pytest.raises(ValueError, match="paired values"):
            paired_bootstrap(a, b, seed=0)


def _sign_test_by_enumeration(only_a: int, only_b: int) -> float:
    """Share of all ways the discordant pairs could have fallen that are at least as lopsided."""
    n = only_a + only_b
    gaps = [abs(2 * sum(way) - n) for way in product((0, 1), repeat=n)]
    return sum(gap >= abs(only_b - only_a) for gap in gaps) / len(gaps)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (2, 9), (5, 5), (7, 1)])
def test_mcnemar_agrees_with_counting_every_outcome(only_a: int, only_b: int) -> None:
    a = [True] * only_a + [False] * only_b + [True, False]
    b = [False] * only_a + [True] * only_b + [True, False]
    found = mcnemar_exact(a, b)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(_sign_test_by_enumeration(only_a, only_b))


def test_mcnemar_refuses_what_is_not_paired() -> None:
    with pytest.raises(ValueError, match="paired hits"):
        mcnemar_exact([True], [True, False])
