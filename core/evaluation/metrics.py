"""Ranks, and what is counted over them. Their intervals are in `core.evaluation.intervals`.

Ranks start at 1 (best). n is the number of cases, k the length of a list.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.data.dataset import Case
from core.routing import Floats, Indices

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


def best_lists(scores: Floats, cases: Sequence[Case], k: int = 10) -> Indices:
    """The k best items for each case without those he had, best first: scores [n, N] -> [n, k] int64.

    Equal scores are ordered by index, as the recommender orders them.
    """
    masked = scores.copy()
    for row, case in zip(masked, cases, strict=True):
        row[list(case.history)] = -np.inf
    return np.argsort(-masked, axis=1, kind="stable")[:, :k].astype(np.int64)


def catalogue_coverage(shown: ArrayLike, num_items: int) -> float:
    """Share of the N items that appear in at least one list; `shown` is every entry of all lists, by index or
    by id, of any shape."""
    return len(np.unique(np.asarray(shown))) / num_items


def _ranks(ranks: ArrayLike) -> Ranks:
    values = np.asarray(ranks, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a rate over no cases is not a number")
    return values
