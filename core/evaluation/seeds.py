"""Several training seeds of one recipe: their spread, and a difference that holds beyond the seeds drawn.

Shapes: S seeds, n people, D draws of candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.evaluation.intervals import CHUNK, Difference, Values, percentile_interval


@dataclass(frozen=True)
class SeedSpread:
    """One number per training seed. `sd` divides by S - 1, and is None for a single seed."""

    mean: float
    low: float
    high: float
    sd: float | None
    seeds: int


def seed_spread(values: Sequence[float]) -> SeedSpread:
    """Mean, least, greatest and standard deviation over seeds. Raises ValueError for no seeds."""
    if not values:
        raise ValueError("a spread over no seeds is not a number")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return SeedSpread(float(np.mean(values)), min(values), max(values), sd, len(values))


def hierarchical_bootstrap(
    a: ArrayLike, b: ArrayLike, seed: int, samples: int = 10_000, confidence: float = 0.95
) -> Difference:
    """Percentile bootstrap of mean(b - a) over people and training seeds: a, b [S, n] or [S, n, D].

    Row s of a and of b come from the same training seed, column i from the same person under every seed.
    What is resampled: first a person's draws are averaged, they are never resampled. Then each sample takes S
    seeds and n people, both with replacement and independently of each other (they are crossed: every person
    meets every seed, so all seeds of a sample see the same people), and averages b - a over them.

    With few seeds the seeds' part is too narrow (their variance is low by (S - 1) / S): with three it says
    that seeds matter, not exactly how much. One seed alone gives the bootstrap over people.

    Raises:
        ValueError: a and b are not of the same shape, or not [S, n] or [S, n, D].
    """
    if np.shape(a) != np.shape(b) or np.ndim(a) not in (2, 3) or np.size(a) == 0:
        raise ValueError(
            f"values of seeds and people are needed, [S, n] or [S, n, D], got {np.shape(a)} and {np.shape(b)}"
        )
    difference: Values = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    if difference.ndim == 3:
        difference = difference.mean(axis=2)
    s, n = difference.shape
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK // n)
    means = []
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        weights = generator.multinomial(s, np.full(s, 1 / s), size=size) / s  # (size, S) how often each seed
        people = generator.integers(0, n, size=(size, n))
        means.append(np.take_along_axis(weights @ difference, people, axis=1).mean(axis=1))
    return percentile_interval(float(difference.mean()), np.concatenate(means), n, confidence)
