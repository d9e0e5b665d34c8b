"""From per-user results to the numbers of a table. Sampled and full ranking are two records, never one.

Several draws of one method are one row: a user's hits are averaged over them first, and n stays the number of
users (draws of one user are not independent).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import RunError
from core.evaluation.intervals import paired_bootstrap, rate
from core.evaluation.metrics import catalogue_coverage, hit_rate_at, mrr, ndcg_at
from core.evaluation.records import Header, Lists, Results

Numbers = NDArray[np.float64]
INTERVAL_SEED = 95
"""Of the bootstrap behind the interval of NDCG@10."""


@dataclass(frozen=True)
class Sampled:
    """The target among C - 1 negatives.

    Attributes:
        hr1: HR@1 over all users; an invalid answer is a miss.
        low, high: its 95 % Wilson interval.
        valid_ratio: share of valid answers.
        hr1_valid_only: HR@1 over valid answers, the papers' habit; None without any.
    """

    hr1: float
    low: float
    high: float
    valid_ratio: float
    hr1_valid_only: float | None


@dataclass(frozen=True)
class Full:
    """The target in the whole catalogue without what the user had seen.

    Attributes:
        hr5, hr10, ndcg10, mrr: means over users.
        hr10_low, hr10_high: 95 % Wilson interval.
        ndcg10_low, ndcg10_high: 95 % bootstrap interval over users.
        coverage: share of the catalogue that is in anybody's first ten; None when not known.
        popularity_rank: mean popularity rank of what is in them, 1 is the most popular; None when not known.
    """

    hr5: float
    hr10: float
    hr10_low: float
    hr10_high: float
    ndcg10: float
    ndcg10_low: float
    ndcg10_high: float
    mrr: float
    coverage: float | None
    popularity_rank: float | None


@dataclass(frozen=True)
class Row:
    """One method on one kind of candidates.

    Attributes:
        header: of its first draw.
        n: users.
        files: one per draw.
        sampled: among the candidates.
        full: in the whole catalogue; None for a method that ranks candidates only.
    """

    header: Header
    n: int
    files: tuple[Results, ...]
    sampled: Sampled
    full: Full | None


def group_draws(results: Iterable[Results]) -> list[tuple[Results, ...]]:
    """Files of one method, run and kind of candidates together, in the order of their draws.

    Raises:
        RunError: draws of one method are of different data or users.
    """
    groups: dict[tuple[object, ...], list[Results]] = defaultdict(list)
    for result in results:
        h = result.header
        groups[h.dataset, h.split, h.part, h.candidates, h.method, h.run].append(result)
    ordered = [tuple(sorted(group, key=lambda r: r.header.draw)) for group in groups.values()]
    for first, *others in ordered:
        for other in others:
            if other.header.dataset_sha256 != first.header.dataset_sha256 or other.users != first.users:
                raise RunError(
                    f"{first.path} and {other.path} are two draws of one method, but not of the same users: "
                    "evaluate both again with the same --users."
                )
    return ordered


def hits(draws: Sequence[Results], k: int = 1) -> Numbers:
    """Whether each user's target is among his first k candidates, [n, D] for D draws; invalid is a miss."""
    columns = [(draw.numbers("rank") <= k) & (draw.numbers("valid") == 1) for draw in draws]
    return np.stack(columns, axis=1).astype(np.float64)


def ndcg_gains(full_ranks: Numbers) -> Numbers:
    """Each user's part of NDCG@10, of any shape."""
    return np.where(full_ranks <= 10, 1.0 / np.log2(full_ranks + 1.0), 0.0)


def summarise(draws: Sequence[Results], popularity: Mapping[str, int] | None = None) -> Row:
    """One row of the tables from the files of one method.

    Args:
        popularity: item id -> popularity rank in training.
    """
    hit, hr1 = hits(draws), rate(hits(draws))
    valid = np.stack([draw.numbers("valid") for draw in draws], axis=1)
    valid_only = float(hit.sum() / valid.sum()) if valid.any() else None
    sampled = Sampled(hr1.mean, hr1.low, hr1.high, float(valid.mean()), valid_only)
    return Row(draws[0].header, hr1.n, tuple(draws), sampled, _full(draws[0], popularity))


def _full(results: Results, popularity: Mapping[str, int] | None) -> Full | None:
    ranks = results.numbers("full_rank")
    if np.isnan(ranks).any():
        return None
    gains = ndcg_gains(ranks)
    ndcg = paired_bootstrap(np.zeros_like(gains), gains, INTERVAL_SEED, samples=2000)
    hr10 = rate(ranks <= 10)
    lists = results.lists or _count(results, popularity)
    return Full(
        hr5=hit_rate_at(ranks, 5),
        hr10=hr10.mean,
        hr10_low=hr10.low,
        hr10_high=hr10.high,
        ndcg10=ndcg_at(ranks, 10),
        ndcg10_low=ndcg.low,
        ndcg10_high=ndcg.high,
        mrr=mrr(ranks),
        coverage=None if lists is None else lists.coverage,
        popularity_rank=None if lists is None else lists.popularity_rank,
    )


def _count(results: Results, popularity: Mapping[str, int] | None) -> Lists | None:
    shown = [item for items in results.words("top10") for item in items]
    if not shown:
        return None
    mean = float(np.mean([popularity[item] for item in shown])) if popularity else None
    return Lists(catalogue_coverage(shown, results.header.catalogue), mean)
