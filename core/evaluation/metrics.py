"""Ranks, and what is counted over them. Their intervals are in `core.evaluation.intervals`.

Ranks start at 1 (best). n is the number of cases, k the length of a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class AnswerRates:
    """What a method that writes its answer gets right.

    Attributes:
        hr1: hits over all n cases; an invalid answer is a miss. The number that counts.
        hr1_of_valid: hits over valid answers only, the papers' habit; None when none is valid.
        valid_ratio: share of answers that name one of the candidates exactly.
        n: cases.
        n_valid: cases with a valid answer.
    """

    hr1: float
    hr1_of_valid: float | None
    valid_ratio: float
    n: int
    n_valid: int


def answer_rates(answers: ArrayLike, targets: ArrayLike, candidates: ArrayLike) -> AnswerRates:
    """Rates of written answers.

    Args:
        answers: [n] int, the item each answer names; anything that is not among the case's candidates (-1 for
            a text that names no item) is invalid.
        targets: [n] int items.
        candidates: [n, C] int items.

    Raises:
        ValueError: no cases, or a target is not among its candidates (a hit would be called invalid).
    """
    said, wanted, offered = (np.asarray(v, dtype=np.int64) for v in (answers, targets, candidates))
    if not len(said):
        raise ValueError("a rate over no cases is not a number")
    if not (offered == wanted[:, None]).any(axis=1).all():
        raise ValueError("a target is missing from its own candidates")
    valid = (offered == said[:, None]).any(axis=1)
    hits = int((said == wanted).sum())
    n, n_valid = len(said), int(valid.sum())
    return AnswerRates(hits / n, hits / n_valid if n_valid else None, n_valid / n, n, n_valid)


@dataclass(frozen=True)
class FullRanking:
    """Everything PROTOCOL reports on the ranking of the whole catalogue.

    Attributes:
        coverage: share of the catalogue that appears in anybody's first 10.
        popularity_rank: mean popularity rank (1 = trained on most) of what is in the first 10.
    """

    hr5: float
    hr10: float
    ndcg10: float
    mrr: float
    coverage: float
    popularity_rank: float
    n: int


def full_ranking(ranks: ArrayLike, lists: Indices, counts: NDArray[np.int64]) -> FullRanking:
    """Ranks [n] in the whole catalogue, first-10 lists [n, 10], training counts [N] -> all of them."""
    return FullRanking(
        hr5=hit_rate_at(ranks, 5),
        hr10=hit_rate_at(ranks, 10),
        ndcg10=ndcg_at(ranks, 10),
        mrr=mrr(ranks),
        coverage=catalogue_coverage(lists, len(counts)),
        popularity_rank=mean_popularity_rank(lists, counts),
        n=len(_ranks(ranks)),
    )


def best_lists(scores: Floats, cases: Sequence[Case], k: int = 10) -> Indices:
    """The k best items for each case without those he had, best first: scores [n, N] -> [n, k] int64.

    Equal scores are ordered by index, as the recommender orders them.
    """
    masked = scores.copy()
    for row, case in zip(masked, cases, strict=True):
        row[list(case.history)] = -np.inf
    return np.argsort(-masked, axis=1, kind="stable")[:, :k].astype(np.int64)


def catalogue_coverage(lists: Indices, num_items: int) -> float:
    """Share of the N items that appear in at least one of the lists [n, k]."""
    return len(np.unique(lists)) / num_items


def mean_popularity_rank(lists: Indices, counts: NDArray[np.int64]) -> float:
    """Mean popularity rank of the recommended items: 1 is the item trained on most; equal counts share the
    mean of their ranks. lists [n, k], counts [N].
    """
    # Slow to import, and who recommends needs the rest of this module only.
    from scipy.stats import rankdata

    return float(np.mean(rankdata(-counts, method="average")[lists]))


def _ranks(ranks: ArrayLike) -> Ranks:
    values = np.asarray(ranks, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a rate over no cases is not a number")
    return values
