"""Encoders that do not know the users they are asked about: what they say of a training row is not memory.

An encoder ranks the target of its own training rows first nearly always, of other users' rows far less often.
A language model that learns beside the former learns to trust a memory; beside these it learns beside what
serving will show it (cross-fitting, as stacking needs it: Wolpert 1992, Stacked Generalization).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.data.dataset import Split
from core.encoder import SASRec
from core.errors import RecipeError
from core.training.encoder_training import EncoderEpoch, fit_encoder
from core.training.recipe import Recipe


def cross_fitted(
    split: Split, num_items: int, recipe: Recipe, watch: Callable[[EncoderEpoch], None] = lambda _: None
) -> tuple[SASRec, ...]:
    """One encoder per fold, trained on the users of the other folds; its epoch is chosen on its own fold's
    validation users, whom it never saw. Users are shared out among `model.folds` by their index.

    Raises:
        RecipeError: more folds than there are users to fill them.
    """
    encoders, folds = [], recipe.model.folds
    if len({case.user % folds for case in split.validation}) < folds:
        raise RecipeError(f"model.folds={folds} leaves a fold without a validation user: take fewer folds.")
    for fold in range(folds):
        others = [s for u, s in zip(split.train_users, split.train, strict=True) if u % folds != fold]
        cases = [case for case in split.validation if case.user % folds == fold]
        fitted = fit_encoder(others, cases, num_items, recipe.encoder, recipe.run.seed + fold, watch)
        encoders.append(fitted.encoder)
    return tuple(encoders)


@torch.no_grad()
def others_opinion(folds: Sequence[SASRec], history: Tensor, users: Tensor, tail: int) -> Tensor:
    """What encoders that do not know these users expect after each of a row's last `tail` prefixes.

    Args:
        history: [B, L] int64, padded on the right with N. users: [B] int64.

    Returns:
        [B, tail, N] float32 log-probabilities.
    """
    said = history.new_zeros(len(history), tail, folds[0].shape.num_items, dtype=torch.float32)
    for fold, encoder in enumerate(folds):
        rows = users % len(folds) == fold
        if rows.any():
            states = tail_states(encoder, history[rows], tail)
            said[rows] = encoder.score(states).log_softmax(-1)
    return said


@torch.no_grad()
def alignments(folds: Sequence[SASRec], encoder: SASRec, split: Split) -> tuple[Tensor, ...]:
    """For each fold the affine map of its encoder's states to those of `encoder`: [D + 1, D].

    Ridge regression. Fitted on what both say after whole training histories: neither has seen how these go
    on, so no memory of a training row is mapped. One encoder's space means nothing to a gate that reads
    another's.
    """
    rows = torch.split(encoder.padded(split.train), 256)
    wanted = torch.cat([encoder.eval().last_state(part) for part in rows]).double()
    maps = []
    for fold in folds:
        told = _with_one(torch.cat([fold.eval().last_state(part) for part in rows]).double())
        gram = told.T @ told + torch.eye(told.shape[1]).to(told)
        maps.append(torch.linalg.solve(gram, told.T @ wanted).float())
    return tuple(maps)


@torch.no_grad()
def others_states(
    folds: Sequence[SASRec], maps: Sequence[Tensor], history: Tensor, users: Tensor, tail: int
) -> Tensor:
    """States of encoders that do not know these users, in the space of the one that serves: [B, tail, D].

    Args:
        maps: `alignments` of the folds.
        history: [B, L] int64, padded on the right with N. users: [B] int64.
    """
    read = history.new_zeros(len(history), tail, maps[0].shape[1], dtype=torch.float32)
    for fold, (encoder, to_served) in enumerate(zip(folds, maps, strict=True)):
        rows = users % len(folds) == fold
        if rows.any():
            read[rows] = _with_one(tail_states(encoder, history[rows], tail)) @ to_served
    return read


def _with_one(states: Tensor) -> Tensor:
    return torch.cat([states, states.new_ones(*states.shape[:-1], 1)], dim=-1)


def tail_states(encoder: SASRec, history: Tensor, tail: int) -> Tensor:
    """[B, tail, D]: the encoder's state after each of a row's last `tail` prefixes; rows shorter than `tail`
    repeat the state after no item."""
    states = encoder(history)  # (B, L+1, D)
    length = (history != encoder.shape.num_items).sum(1, keepdim=True)  # (B, 1)
    back = torch.arange(tail - 1, -1, -1, device=history.device)
    index = (length - back).clamp_min(0)  # (B, tail)
    return states.gather(1, index.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
