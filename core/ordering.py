"""Scores into an order: log-probabilities, the best k, and the lines of a list."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.catalog import Catalog
from core.recommendation import RankedItem, Stage
from core.routing import Indices

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """What a stage makes of a pool: scores [P] of the items [P] that it ranked, and what is to be said."""

    scores: Scores
    pool: Indices
    stage: Stage
    notes: tuple[str, ...] = ()


def title_order(scores: Scores, pool: Indices) -> Order:
    """What the untrained model's title likelihoods [P] make of a pool [P]."""
    note = f"The untrained language model ordered these {len(pool)} by how likely each comes next."
    return Order(scores, pool, "title", (note,))


def best(scores: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Positions of the k highest of P scores, best first; equal scores by position."""
    return np.argsort(-scores, kind="stable")[:k]


def log_softmax(scores: Scores) -> Scores:
    """Scores [..., P] -> log-probabilities [..., P] over the last axis."""
    shifted: Scores = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def ranked_items(
    catalog: Catalog, scores: Scores, pool: Indices, order: Sequence[int] | NDArray[np.intp]
) -> tuple[RankedItem, ...]:
    """The lines of a list: scores [P] of the items pool [P]; `order` holds positions in both, best first."""
    probabilities = np.exp(log_softmax(scores))
    lines = []
    for rank, at in enumerate(order, start=1):
        item = catalog[int(pool[at])]
        score, probability = float(scores[at]), float(probabilities[at])
        lines.append(RankedItem(rank, item.index, item.item_id, item.title, score, probability))
    return tuple(lines)
