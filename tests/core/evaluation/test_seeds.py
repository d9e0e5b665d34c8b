"""Training seeds: their spread is told, and a difference must hold beyond the ones that were drawn."""

import numpy as np
import pytest

from core.evaluation.intervals import paired_bootstrap
from core.evaluation.seeds import hierarchical_bootstrap, seed_spread


def test_spread_by_hand() -> None:
    spread = seed_spread([0.40, 0.44, 0.45])
    assert (spread.low, spread.high, spread.seeds) == (0.40, 0.45, 3)
    assert spread.mean == pytest.approx(0.43)
    assert spread.sd == pytest.approx(((0.03**2 + 0.01**2 + 0.02**2) / 2) ** 0.5)


def test_one_seed_has_no_spread_and_none_has_no_mean() -> None:
    assert seed_spread([0.4]).sd is None
    with pytest.raises(ValueError, match="no seeds"):
        seed_spread([])


def _hits(seeds: int, n: int, gains: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The same people under every seed; seed s of b is better by gains[s]."""
    generator = np.random.default_rng(8)
    person = generator.random(n)
    a = (generator.random((seeds, n)) + person) / 2 < 0.4
    b = (generator.random((seeds, n)) + person) / 2 < 0.4 + np.array(gains)[:, None]
    return a, b


def test_one_seed_is_the_bootstrap_over_people() -> None:
    a, b = _hits(1, 400, [0.05])
    found = hierarchical_bootstrap(a, b, seed=1, samples=4000)
    plain = paired_bootstrap(a[0], b[0], seed=2, samples=4000)
    assert found.mean == plain.mean and found.n == 400
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.006)


def test_seeds_that_disagree_widen_the_interval() -> None:
    alike = hierarchical_bootstrap(*_hits(3, 400, [0.05, 0.05, 0.05]), seed=1, samples=2000)
    apart = hierarchical_bootstrap(*_hits(3, 400, [-0.10, 0.05, 0.20]), seed=1, samples=2000)
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)


def test_the_interval_has_the_width_of_both_levels() -> None:
    a, b = _hits(3, 500, [-0.05, 0.05, 0.15])
    difference = b.astype(float) - a.astype(float)
    people, seeds = difference.mean(0).var() / 500, difference.mean(1).var() / 3
    found = hierarchical_bootstrap(a, b, seed=4, samples=4000)
    # Three seeds make ten different means only: the normal width is near, not exact.
    assert found.high - found.low == pytest.approx(2 * 1.96 * (people + seeds) ** 0.5, rel=0.15)


def test_draws_of_a_person_are_averaged_not_resampled() -> None:
    a, b = _hits(2, 100, [0.05, 0.1])
    copied = [np.repeat(hits[:, :, None], 5, axis=2) for hits in (a, b)]
    assert hierarchical_bootstrap(*copied, seed=3, samples=300) == hierarchical_bootstrap(
        a, b, seed=3, samples=300
    )


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,)), ((0, 3), (0, 3))])
def test_what_is_not_paired_over_seeds_and_people_is_refused(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    with pytest.raises(ValueError, match="seeds and people"):
        hierarchical_bootstrap(np.zeros(shapes[0]), np.zeros(shapes[1]), seed=0)
