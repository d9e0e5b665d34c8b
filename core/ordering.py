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


def blended(
    alone: Scores, collaborative: Scores, weight: float, new: NDArray[np.bool_], known: NDArray[np.bool_]
) -> Scores:
    """The model's log-probabilities [B, P] averaged with the router's.

    A mean, not a sum: two opinions that agree are not twice as sure. Of new items the router has none: they
    keep the place among the others that the model gives them. Of people who had nothing but new items it
    knows nothing either: the model's stand alone.

    Args:
        alone: [B, P] log-probabilities.
        collaborative: [B, P] the router's scores.
        weight: of the router's.
        new: [B, P] items that the router does not know.
        known: [B] people of whom it knows something.
    """
    mean = (alone + weight * log_softmax(collaborative)) / (1 + weight)
    return np.where(known[:, None], kept_in_place(alone, mean, new), alone)


def kept_in_place(alone: Scores, blended: Scores, new: NDArray[np.bool_]) -> Scores:
    """Blended scores of which new items, of whom one opinion is missing, have those of their place.

    A blend is surer than one opinion, so what has one alone would sink among what has both. A new item gets
    the blended score that stands where the one opinion puts it among the known; above the first and below
    the last it keeps its distance.

    Args:
        alone: [B, P] by the one opinion.
        blended: [B, P] by both; of new items without meaning.
        new: [B, P] which have one opinion only.

    Returns:
        [B, P]; the model's alone where all are new.
    """
    told = blended.copy()
    for row in np.flatnonzero(new.any(axis=1)):
        own, known = new[row], ~new[row]
        if not known.any():
            told[row] = alone[row]
            continue
        at, levels = np.sort(alone[row, known]), np.sort(blended[row, known])
        asked = alone[row, own]
        beyond = np.minimum(asked - at[0], 0) + np.maximum(asked - at[-1], 0)
        told[row, own] = np.interp(asked, at, levels) + beyond
    return told


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
