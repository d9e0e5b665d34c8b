"""Intervals against independent implementations, and what must hold for every one of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from core.evaluation.intervals import paired_bootstrap, per_person, rate, wilson


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


COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.integers(2, 5))
def test_wilson_holds_the_rate_lies_in_0_to_1_and_narrows_with_n(counts: tuple[int, int], more: int) -> None:
    hits, n = counts
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    narrow_low, narrow_high = wilson(more * hits, more * n)
    assert narrow_high - narrow_low < high - low


@given(COUNTS)
def test_wilson_treats_hits_and_misses_alike(counts: tuple[int, int]) -> None:
    hits, n = counts
    low, high = wilson(hits, n)
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_several_draws_of_a_person_are_one_person() -> None:
    once = np.random.default_rng(5).random(200) < 0.4
    copied = np.repeat(once[:, None], 5, axis=1)
    assert rate(copied) == rate(once)  # five equal answers are no more people
    assert rate(once).n == 200
    other = ~once
    assert paired_bootstrap(copied, np.repeat(other[:, None], 5, axis=1), seed=1, samples=200) == (
        paired_bootstrap(once, other, seed=1, samples=200)
    )


def test_a_persons_draws_are_averaged() -> None:
    assert per_person([[1, 0, 0, 1], [1, 1, 1, 1]]).tolist() == [0.5, 1.0]
    told = rate([[1, 0], [1, 1], [0, 0]])
    assert (told.mean, told.n) == (0.5, 3)
    assert (told.low, told.high) == pytest.approx(wilson(1.5, 3))


@pytest.mark.parametrize("values", [[], [[]], 0.5, np.zeros((2, 2, 2))])
def test_what_are_no_people_have_no_rate(values: object) -> None:
    with pytest.raises(ValueError, match="values of people"):
        rate(values)  # type: ignore[arg-type]
