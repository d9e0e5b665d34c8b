"""The exact test, its correction and its power, against enumeration and naive twins."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from core.evaluation.significance import detectable_difference, holm, mcnemar_exact

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


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


def test_mcnemar_counts_the_side_and_is_two_sided() -> None:
    a, b = [True, False, False, False, True], [False, True, True, True, True]
    there, back = mcnemar_exact(a, b), mcnemar_exact(b, a)
    assert (there.only_a, there.only_b) == (1, 3) == (back.only_b, back.only_a)
    assert there.p == back.p


def test_mcnemar_of_draws_is_the_sign_test_over_people() -> None:
    a = [[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 1]]
    b = [[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0]]  # equal, better, better, worse
    found = mcnemar_exact(a, b)
    assert (found.only_a, found.only_b) == (1, 2)
    assert found.p == pytest.approx(_sign_test_by_enumeration(1, 2))


def test_holm_as_counted_by_hand() -> None:
    # Sorted: .005 x 4, .01 x 3, .03 x 2, .04 x 1, of which the last may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()


def _rejected(p_values: list[float], alpha: float) -> set[int]:
    """Holm's procedure as it is told: go up from the smallest, stop at the first that is not small enough."""
    rejected: set[int] = set()
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] > alpha / (len(p_values) - place):
            break
        rejected.add(index)
    return rejected


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], alpha: float) -> None:
    adjusted = holm(p_values)
    if min(abs(p - alpha) for p in adjusted) > 1e-9:  # at the very edge rounding decides
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == _rejected(p_values, alpha)


@given(P_VALUES)
def test_holm_is_never_below_p_nor_above_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, corrected in zip(p_values, adjusted, strict=True):
        assert p <= corrected <= min(1.0, len(p_values) * p)
    by_p = [corrected for _, corrected in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


@given(P_VALUES, st.integers(0, 7), st.floats(0, 1))
def test_holm_is_monotone_a_smaller_p_makes_nothing_larger(
    p_values: list[float], at: int, factor: float
) -> None:
    smaller = list(p_values)
    smaller[at % len(p_values)] *= factor
    assert all(new <= old for new, old in zip(holm(smaller), holm(p_values), strict=True))


@pytest.mark.parametrize("wrong", [[1.1], [-0.1, 0.5], [math.nan]])
def test_holm_refuses_what_is_no_p(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        holm(wrong)


def _people_needed(difference: float, discordance: float) -> float:
    """Connor 1987, as printed: n for a difference at alpha .05 two-sided and power .8."""
    z_alpha, z_beta = norm.ppf(0.975), norm.ppf(0.8)
    root = z_alpha * math.sqrt(discordance) + z_beta * math.sqrt(discordance - difference**2)
    return float(root**2 / difference**2)


@given(st.floats(0.05, 1.0), st.integers(200, 5000))
def test_detectable_difference_is_connors_formula_solved(discordance: float, n: int) -> None:
    found = detectable_difference(discordance, n)
    if found < discordance:
        assert _people_needed(found, discordance) == pytest.approx(n, rel=1e-9)


@given(st.floats(0, 1), st.integers(1, 5000))
def test_more_people_show_smaller_differences(discordance: float, n: int) -> None:
    few, many = detectable_difference(discordance, n), detectable_difference(discordance, n + 100)
    assert 0 < many < few <= 1 or few == many == 1
    assert detectable_difference(min(1.0, discordance + 0.1), n) >= few


def test_without_discordance_the_smallest_difference_is_still_not_zero() -> None:
    # All discordant people would be on one side: the difference is the discordance.
    found = detectable_difference(0.0, 943)
    assert 0.005 < found < 0.01
    assert _people_needed(found, found) == pytest.approx(943)


@pytest.mark.parametrize(("discordance", "n"), [(0.1, 0), (-0.1, 10), (1.1, 10)])
def test_what_cannot_be_observed_detects_nothing(discordance: float, n: int) -> None:
    with pytest.raises(ValueError, match="not possible"):
        detectable_difference(discordance, n)
