"""Blend a language model's opinion with the encoder's; how much of the latter, validation users choose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.data.dataset import Case
from core.evaluation.asking import full_ranks
from core.evaluation.metrics import ndcg_at
from core.evaluation.summary import ndcg_gains
from core.routing import Floats, Indices

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


def choose_heard_weight(
    first: Floats, second: Floats, cases: Sequence[Case], weights: Sequence[float] = BLEND_WEIGHTS
) -> BlendChoice:
    """The least weight whose blend is no worse than the best by more than a standard error of the two.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3): of blends that validation users cannot
    tell apart the one in which the first scores are heard most. Arguments as `choose_blend_weight`.
    """
    gains = [ndcg_gains(full_ranks(blend(first, second, weight), cases)) for weight in weights]
    best = gains[int(np.argmax([own.mean() for own in gains]))]
    trials = tuple((weight, float(own.mean())) for weight, own in zip(weights, gains, strict=True))
    for trial, own in sorted(zip(trials, gains, strict=True), key=lambda pair: pair[0][0]):
        worse = best - own
        if worse.mean() <= worse.std() / len(worse) ** 0.5:
            return BlendChoice(trial[0], trial[1], trials)
    raise AssertionError("the best is no worse than itself")


def blend(first: Floats, second: Floats, weight: float) -> Floats:
    """log-softmax(first) + weight * log-softmax(second): a product of two opinions, [n, N] or [n, C]."""
    mixed: Floats = log_softmax(first) + np.float32(weight) * log_softmax(second)
    return mixed


def beside_encoder(
    scores: Floats, encoder: Floats, weight: float, candidates: Indices | None = None
) -> Floats:
    """What a run of `model.residual` says, as it was trained: scores + weight * log-softmax(encoder).

    Args:
        scores: [n, N], or [n, C] of `candidates`.
        encoder: [n, N] the run's own encoder's scores.
        weight: the recipe's `model.residual`; 0 gives the scores back.
        candidates: [n, C] catalogue indices.
    """
    if not weight:
        return scores
    said = log_softmax(encoder)
    added: Floats = scores + weight * (
        said if candidates is None else np.take_along_axis(said, candidates, axis=1)
    )
    return added


def log_softmax(scores: Floats) -> Floats:
    """Row-wise, [n, N] float32."""
    return torch.from_numpy(scores).log_softmax(-1).numpy()
