"""Blend a language model's opinion with the encoder's; how much of the latter, validation users choose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.data.dataset import Case
from core.evaluation.asking import full_ranks
from core.evaluation.metrics import ndcg_at
from core.routing import Floats

BLEND_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0)
"""Weights of the encoder's log-probabilities that validation users choose among."""


@dataclass(frozen=True)
class BlendChoice:
    """What validation users chose.

    Attributes:
        weight: of the second scores' log-probabilities; 0 is the first alone.
        ndcg10: of that weight, on the full catalogue.
        trials: (weight, NDCG@10) of every weight asked.
    """

    weight: float
    ndcg10: float
    trials: tuple[tuple[float, float], ...]


def choose_blend_weight(
    first: Floats, second: Floats, cases: Sequence[Case], weights: Sequence[float] = BLEND_WEIGHTS
) -> BlendChoice:
    """The weight whose blend gives the cases the best NDCG@10 on the full catalogue; of equals the smallest.

    Args:
        first, second: [n, N] scores of the same validation cases, in any units.
    """
    trials = tuple((w, ndcg_at(full_ranks(blend(first, second, w), cases), 10)) for w in weights)
    weight, ndcg10 = max(trials, key=lambda trial: (trial[1], -trial[0]))
    return BlendChoice(weight, ndcg10, trials)


def blend(first: Floats, second: Floats, weight: float) -> Floats:
    """log-softmax(first) + weight * log-softmax(second): a product of two opinions, [n, N] or [n, C]."""
    mixed: Floats = log_softmax(first) + np.float32(weight) * log_softmax(second)
    return mixed


def log_softmax(scores: Floats) -> Floats:
    """Row-wise, [n, N] float32."""
    return torch.from_numpy(scores).log_softmax(-1).numpy()
