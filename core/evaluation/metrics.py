"""Ranks, rates and their intervals (PROTOCOL: no number without its n, its interval and its baselines).

Ranks start at 1 (best). n is the number of cases.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

Ranks = NDArray[np.float64]
Ties = Literal["pessimistic", "average"]


def ranks_among(scores: ArrayLike, targets: ArrayLike, ties: Ties = "pessimistic") -> Ranks:
    """Rank of each target in its row: scores [n, C], targets [n] int (the target's column) -> [n] float64.

    Ties: "pessimistic" puts the target behind everything that scores the same, so a method that scores all
    alike hits nothing; "average" is the expected rank under a random order of the tied. A row with a NaN is a
    miss: its target is put last.
    """
    table = np.asarray(scores, dtype=np.float64)
    columns = np.asarray(targets, dtype=np.int64)
    target = np.take_along_axis(table, columns[:, None], axis=1)  # (n, 1)
    better = (table > target).sum(axis=1)
    tied = (table == target).sum(axis=1) - 1  # without the target itself
    ranks = 1.0 + better + (tied if ties == "pessimistic" else tied / 2)
    ranks[np.isnan(table).any(axis=1)] = table.shape[1]
    return ranks.astype(np.float64)


def hit_rate_at(ranks: ArrayLike, k: int) -> float:
    """HR@k: share of cases whose target is among the first k."""
    return float(np.mean(_ranks(ranks) <= k))


def hit_rate_at_1(ranks: ArrayLike) -> float:
    """HR@1: share of cases whose target comes first."""
    return hit_rate_at(ranks, 1)


def ndcg_at(ranks: ArrayLike, k: int) -> float:
    """NDCG@k with one relevant item per case: mean of 1 / log2(rank + 1) where rank <= k, else 0."""
    values = _ranks(ranks)
    return float(np.mean(np.where(values <= k, 1.0 / np.log2(values + 1.0), 0.0)))


def mrr(ranks: ArrayLike) -> float:
    """Mean reciprocal rank."""
    return float(np.mean(1.0 / _ranks(ranks)))


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate: (low, high), both in [0, 1].

    Raises:
        ValueError: n < 1, or hits outside 0 .. n.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} cases is no rate")
    z = float(norm.ppf(0.5 + confidence / 2))
    rate, z2 = hits / n, z * z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * float(np.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)))
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
    """Percentile bootstrap over users of mean(b - a): a, b [n] per-case values (hits, reciprocal ranks, ...).

    Raises:
        ValueError: a and b are not of the same length, or empty.
    """
    difference = _paired(b) - _paired(a) if len(_paired(a)) == len(_paired(b)) else None
    if difference is None or not len(difference):
        raise ValueError(f"paired values are needed, got {len(_paired(a))} and {len(_paired(b))}")
    generator = np.random.default_rng(seed)
    n = len(difference)
    # Chunks keep memory at a few megabytes whatever n is.
    chunk = max(1, 2_000_000 // n)
    means = np.concatenate(
        [
            difference[generator.integers(0, n, size=(min(chunk, samples - start), n))].mean(axis=1)
            for start in range(0, samples, chunk)
        ]
    )
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Difference(float(difference.mean()), float(low), float(high), n)


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test on paired hits: how often only a, only b hit, and the two-sided p."""

    only_a: int
    only_b: int
    p: float


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> McNemar:
    """Paired hits a, b [n] bool of the same cases -> exact two-sided McNemar (binomial over the discordant
    pairs).

    Raises:
        ValueError: a and b are not of the same length.
    """
    hits_a, hits_b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if hits_a.shape != hits_b.shape:
        raise ValueError(f"paired hits are needed, got {hits_a.shape} and {hits_b.shape}")
    only_a, only_b = int((hits_a & ~hits_b).sum()), int((hits_b & ~hits_a).sum())
    discordant = only_a + only_b
    p = float(binomtest(only_b, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, p)


def _ranks(ranks: ArrayLike) -> Ranks:
    values = np.asarray(ranks, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a rate over no cases is not a number")
    return values


def _paired(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
