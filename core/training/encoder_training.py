"""Train SASRec with full-softmax cross-entropy at every position; stop early on held-out users."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.data.dataset import Case, Dataset, Split
from core.encoder import EncoderShape, SASRec
from core.evaluation.metrics import ndcg_at, ranks_among
from core.routing import HISTORY_AT_TEST, History
from core.training.recipe import EncoderRecipe


@dataclass(frozen=True)
class EncoderEpoch:
    """One epoch's numbers, told to whoever watches."""

    epoch: int
    loss: float
    validation: float  # NDCG@10 on the full catalogue, validation users
    best: float
    seconds: float


@dataclass(frozen=True)
class TrainedEncoder:
    """The encoder at its best epoch."""

    encoder: SASRec
    best_epoch: int
    validation: float
    seconds: float


def train_encoder(
    dataset: Dataset,
    split: Split,
    recipe: EncoderRecipe,
    seed: int,
    watch: Callable[[EncoderEpoch], None] = lambda _: None,
) -> TrainedEncoder:
    """Train on `split.train`, choose the epoch by NDCG@10 over the whole catalogue on `split.validation`."""
    return fit_encoder(split.train, split.validation, len(dataset.catalog), recipe, seed, watch)


def fit_encoder(
    train: Sequence[History],
    validation: Sequence[Case],
    num_items: int,
    recipe: EncoderRecipe,
    seed: int,
    watch: Callable[[EncoderEpoch], None] = lambda _: None,
) -> TrainedEncoder:
    """As :func:`train_encoder`, from sequences and validation cases.

    Every epoch cuts each user's sequence into windows of max_length + 1 items at a new random offset, so
    that a position is seen with contexts of many lengths.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    shape = EncoderShape(
        num_items=num_items,
        width=recipe.width,
        layers=recipe.layers,
        heads=recipe.heads,
        max_length=recipe.max_length,
        dropout=recipe.dropout,
    )
    encoder = SASRec(shape)
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    best, best_epoch, best_state = -1.0, 0, copy.deepcopy(encoder.state_dict())
    started = time.perf_counter()
    for epoch in range(1, recipe.max_epochs + 1):
        began = time.perf_counter()
        windows = cut_windows(train, recipe.max_length, generator)
        loss = _one_epoch(encoder, optimizer, windows, recipe.batch_size)
        ndcg = full_ranking_ndcg(encoder, validation)
        if ndcg > best:
            best, best_epoch, best_state = ndcg, epoch, copy.deepcopy(encoder.state_dict())
        watch(EncoderEpoch(epoch, loss, ndcg, best, time.perf_counter() - began))
        if epoch - best_epoch >= recipe.patience:
            break
    encoder.load_state_dict(best_state)
    return TrainedEncoder(encoder.eval(), best_epoch, best, time.perf_counter() - started)


def cut_windows(
    sequences: Sequence[Sequence[int]], max_length: int, generator: np.random.Generator
) -> list[list[int]]:
    """Every sequence cut at a random offset into windows of at most max_length + 1 items, shuffled.

    Windows of one sequence overlap by one item: the last of one is predicted there and read by the next.
    """
    windows = []
    for sequence in sequences:
        first = int(generator.integers(1, max_length + 1)) if len(sequence) > max_length + 1 else max_length
        start = 0
        end = first
        while True:
            windows.append(list(sequence[start : end + 1]))
            if end + 1 >= len(sequence):
                break
            start, end = end, end + max_length
    order = generator.permutation(len(windows))
    return [windows[i] for i in order]


def _one_epoch(
    encoder: SASRec, optimizer: torch.optim.Optimizer, windows: list[list[int]], batch_size: int
) -> float:
    encoder.train()
    total, count = 0.0, 0
    for start in range(0, len(windows), batch_size):
        batch = encoder.padded(windows[start : start + batch_size], encoder.shape.max_length + 1)
        loss, targets = next_item_loss(encoder, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total, count = total + loss.item() * targets, count + targets
    return total / max(count, 1)


def next_item_loss(encoder: SASRec, windows: Tensor) -> tuple[Tensor, int]:
    """Mean cross-entropy of every item given those before it; windows [B, L] int64, padded right with N."""
    states = encoder(windows[:, :-1])  # (B, L, D): state t follows t items and predicts item t
    real = windows != encoder.shape.num_items
    logits = encoder.score(states[real])  # (targets, N)
    targets = windows[real]
    return F.cross_entropy(logits, targets), len(targets)


def encoder_scores(encoder: SASRec, cases: Sequence[Case], batch_size: int = 512) -> NDArray[np.float32]:
    """The encoder's scores of the whole catalogue after each case's last 10 items: [n, N] float32."""
    return history_scores(encoder, [case.history for case in cases], batch_size)


@torch.inference_mode()
def history_scores(
    encoder: SASRec, histories: Sequence[History], batch_size: int = 512
) -> NDArray[np.float32]:
    """The encoder's scores of the whole catalogue after the last 10 items of each of n histories: [n, N]."""
    encoder.eval()
    longest = min(HISTORY_AT_TEST, encoder.shape.max_length)
    parts = []
    for start in range(0, len(histories), batch_size):
        rows = encoder.padded(histories[start : start + batch_size], longest)
        parts.append(encoder.score(encoder.last_state(rows)).cpu().numpy())
    return np.concatenate(parts)


def full_ranking_ndcg(encoder: SASRec, cases: Sequence[Case]) -> float:
    """Mean NDCG@10 of the targets in the whole catalogue without the items already seen."""
    scores = encoder_scores(encoder, cases)
    for row, case in zip(scores, cases, strict=True):
        row[[i for i in case.history if i != case.target]] = -np.inf
    ranks = ranks_among(scores, np.array([case.target for case in cases]))
    return float(ndcg_at(ranks, 10))
