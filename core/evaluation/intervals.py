"""How sure a rate or a difference is: 95 % intervals over people (PROTOCOL: no number without one).

n is the number of people. Who was asked several times (draws of candidates) still is one person: his draws
are averaged first, and never counted as people.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

Values = NDArray[np.float64]

CHUNK = 2_000_000
"""Numbers that a bootstrap draws at once: a few megabytes, however many people there are."""


@dataclass(frozen=True)
class Rate:
    """A share of n people with its interval, all in [0, 1]."""

    mean: float
    low: float
    high: float
    n: int


def rate(hits: ArrayLike, confidence: float = 0.95) -> Rate:
    """Hits [n], or [n, D] for D draws of each person -> the rate with Wilson's interval over n people.

    With several draws the interval is a little too wide: a mean of draws varies less than a single hit.
    """
    people = per_person(hits)
    low, high = wilson(float(people.sum()), len(people), confidence)
    return Rate(float(people.mean()), low, high, len(people))


def per_person(values: ArrayLike) -> Values:
    """[n], or [n, D] with D draws of each person -> one value for each: [n] float64.

    Raises:
        ValueError: no people, or another shape.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim not in (1, 2) or table.size == 0:
        raise ValueError(f"values of people are needed, [n] or [n, draws], got shape {table.shape}")
    return table if table.ndim == 1 else table.mean(axis=1)


def wilson(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate (1927): (low, high), both in [0, 1].

    Args:
        hits: a fraction where somebody's draws are averaged.

    Raises:
        ValueError: n < 1, or hits outside 0 .. n.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} cases is no rate")
    z = float(norm.ppf(0.5 + confidence / 2))
    share, z2 = hits / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
    # The exact ends at 0 and n hits are 0 and 1; arithmetic gives them only nearly.
    return (0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


@dataclass(frozen=True)
class Difference:
    """A paired difference with its interval: mean of b - a over the same n cases."""

    mean: float
    low: float
    high: float
    n: int


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, seed: int, samples: int = 10_000, confidence: float = 0.95
) -> Difference:
    """Percentile bootstrap over people of mean(b - a): a, b [n] or [n, D] (hits, reciprocal ranks, ...).

    People are resampled with replacement, each with both his values; draws are averaged before.

    Raises:
        ValueError: a and b are not of the same shape, or empty.
    """
    if np.shape(a) != np.shape(b) or np.size(a) == 0:
        raise ValueError(f"paired values are needed, got shapes {np.shape(a)} and {np.shape(b)}")
    difference = per_person(b) - per_person(a)
    generator = np.random.default_rng(seed)
    n = len(difference)
    chunk = max(1, CHUNK // n)
    means = np.concatenate(
        [
            difference[generator.integers(0, n, size=(min(chunk, samples - start), n))].mean(axis=1)
            for start in range(0, samples, chunk)
        ]
    )
    return percentile_interval(difference.mean(), means, n, confidence)


def percentile_interval(mean: float, resampled: Values, n: int, confidence: float) -> Difference:
    """The interval that holds the middle of the resampled means [samples]."""
    low, high = np.quantile(resampled, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Difference(float(mean), float(low), float(high), n)
