"""Choose a baseline's settings on validation users: a comparison is fair when the baseline is at its best."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.data.dataset import Case, Split
from core.evaluation.asking import full_ranks
from core.evaluation.baselines import Baseline, ItemKNN
from core.evaluation.ease import EASE
from core.evaluation.metrics import ndcg_at
from core.routing import History

DECAYS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHRINKS = (0.0, 1.0, 10.0, 50.0)
RIDGES = (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)

B = TypeVar("B", bound=Baseline)


@dataclass(frozen=True)
class Trial:
    """One point of a grid: its settings in words, and NDCG@10 on the full catalogue, validation users."""

    settings: str
    ndcg10: float


@dataclass(frozen=True)
class Tuned(Generic[B]):
    """The best baseline of a grid, fitted, with what was tried.

    Attributes:
        baseline: fitted on training sequences only.
        chosen: its trial.
        trials: all of them, in the order of the grid.
    """

    baseline: B
    chosen: Trial
    trials: tuple[Trial, ...]


def tune_on_validation(fitted: Iterable[tuple[str, B]], cases: Sequence[Case]) -> Tuned[B]:
    """The fitted baseline with the best NDCG@10 on the whole catalogue; of equally good ones the first.

    Args:
        fitted: settings in words, and a baseline with them. Read one at a time: only the best is kept.
        cases: validation cases.

    Raises:
        ValueError: the grid or the cases are empty.
    """
    trials: list[Trial] = []
    best: tuple[Trial, B] | None = None
    for settings, baseline in fitted:
        scores = baseline.score([case.history for case in cases])
        trial = Trial(settings, ndcg_at(full_ranks(scores, cases), 10))
        trials.append(trial)
        if best is None or trial.ndcg10 > best[0].ndcg10:
            best = trial, baseline
    if best is None:
        raise ValueError("a grid without a single point has no best one")
    return Tuned(best[1], best[0], tuple(trials))


def tune_item_knn(
    split: Split, num_items: int, decays: Sequence[float] = DECAYS, shrinks: Sequence[float] = SHRINKS
) -> Tuned[ItemKNN]:
    """Item-kNN with the decay and shrinkage that suit the split's validation users."""
    return tune_on_validation(_knn_grid(split.train, num_items, decays, shrinks), split.validation)


def tune_ease(
    split: Split, num_items: int, decays: Sequence[float] = DECAYS, ridges: Sequence[float] = RIDGES
) -> Tuned[EASE]:
    """EASE with the decay and ridge that suit the split's validation users."""
    return tune_on_validation(_ease_grid(split.train, num_items, decays, ridges), split.validation)


def _knn_grid(
    train: Sequence[History], num_items: int, decays: Sequence[float], shrinks: Sequence[float]
) -> Iterator[tuple[str, ItemKNN]]:
    for shrink in shrinks:
        fitted = ItemKNN(shrink=shrink).fit(train, num_items)
        for decay in decays:
            knn = copy.copy(fitted)  # the matrix is shared: a decay matters only when asked
            knn.decay = decay
            yield f"decay {decay:g}, shrink {shrink:g}", knn


def _ease_grid(
    train: Sequence[History], num_items: int, decays: Sequence[float], ridges: Sequence[float]
) -> Iterator[tuple[str, EASE]]:
    for ridge in ridges:
        fitted = EASE(ridge=ridge).fit(train, num_items)
        for decay in decays:
            ease = copy.copy(fitted)
            ease.decay = decay
            yield f"decay {decay:g}, lambda {ridge:g}", ease
