"""What the gate reads: a person's own history (iLoRA), or what a control of PROTOCOL gives it in its place.

All else of a control's run is iLoRA's: rows, seeds, initial weights, number of parameters. What iLoRA gains
over its controls is therefore what the gate learned about the person, and not capacity or noise:

- *static*: zeros, so that the gate's bias alone speaks: learned, the same for everybody.
- *random*: one random vector per user, drawn from the run's seed and the user's index, with the mean and the
  standard deviation that real sequence vectors have in each dimension. His in training, validation and test.
- *shuffled*: another user's history, drawn anew for every training row; when asked, another case's.
- *tokens*: no encoder: the mean of what the language model reads in the history's items, title by title
  (their leading D text components). It knows what was liked, not in which order. No control: the paper
  compares token embeddings with the sequence's as a guide of the gate.

Shapes: B batch, D encoder width, K experts, n cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

from core.data.dataset import Split
from core.encoder import SASRec
from core.errors import DataError
from core.gate import Gate
from core.routing import HISTORY_AT_TEST, Floats, History, Indices, Routing, pad_indices
from core.training.recipe import GateReads, Recipe
from core.training.rows import Row

USER_NOISE, OTHER_HISTORY, OTHER_CASE = 101, 102, 103
"""Beside the run's seed: no control draws from a stream that something else of the run draws from."""
MEASURED_USERS = 2000
"""So many training users, at most, say how sequence vectors are spread."""


class Rows(Protocol):
    """Training rows by number; any number is a row, also beyond those that are trained on."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row: ...


@dataclass(frozen=True)
class GateReading:
    """One choice, for training (`rows`, then `read`) and for asking (`mixtures`).

    Attributes:
        reads: the recipe's `adapter.gate_reads`.
        seed: the run's.
        mean, spread: [D] float32, of real sequence vectors; for "random" only.
        readings: [N + 1, D] float32, of every item, zeros for padding; for "tokens" only.
    """

    reads: GateReads = "history"
    seed: int = 0
    mean: Tensor | None = field(default=None, repr=False)
    spread: Tensor | None = field(default=None, repr=False)
    readings: Tensor | None = field(default=None, repr=False)

    def rows(self, rows: Rows) -> Rows:
        """The rows that train: those given, for "shuffled" with another user's history before the gate."""
        return OthersHistories(rows, self.seed) if self.reads == "shuffled" else rows

    def read(self, sequence: Tensor, users: Tensor, history: Tensor) -> Tensor:
        """What the gate is given for encoder states [B, D] of users [B] int64: [B, D], same dtype and device.

        For "shuffled" the states are another's already: `rows` and `mixtures` see to that.

        Args:
            history: [B, L] int64, padded with N; what the states are of.
        """
        if self.reads == "tokens":
            assert self.readings is not None
            known = (history != len(self.readings) - 1).sum(1, keepdim=True).clamp_min(1)
            total = nn.functional.embedding(history, self.readings.to(history.device)).sum(1)
            return (total / known).to(sequence)
        if self.reads == "static":
            return torch.zeros_like(sequence)
        if self.reads == "random":
            assert self.mean is not None and self.spread is not None
            drawn = np.stack([self._noise(user, sequence.shape[1]) for user in users.tolist()])
            return (self.mean + self.spread * torch.from_numpy(drawn)).to(sequence)
        return sequence

    def _noise(self, user: int, width: int) -> Floats:
        """[D] standard normal, the user's own: unseen users have one too."""
        generator = np.random.default_rng([USER_NOISE, self.seed, user])
        return generator.standard_normal(width, dtype=np.float32)

    @torch.inference_mode()
    def mixtures(
        self, gate: Gate | None, routing: Routing, users: Sequence[int], histories: Sequence[History]
    ) -> Floats:
        """The mixtures of n routed cases, [n, K] float32: the `gate=` of `core.evaluation.asking.ask`.

        Args:
            gate: the run's trained gate; None for plain LoRA.
            routing: of the n cases' own histories.
            users: the cases' users (`Case.user`).
            histories: what was routed, as the cases hold it: the last items of each are read.
        """
        if self.reads == "history" or gate is None:
            return routing.gate
        sequence = routing.sequence
        if self.reads == "shuffled":
            sequence = sequence[others(users, self.seed)]
        like = next(gate.parameters())
        longest = [history[-HISTORY_AT_TEST:] for history in histories]
        items = torch.from_numpy(pad_indices(longest, routing.scores.shape[1], HISTORY_AT_TEST))
        read = self.read(torch.from_numpy(sequence), torch.tensor(users), items)
        mixtures: Tensor = gate(read.to(like))
        return mixtures.float().cpu().numpy()


def gate_reading(recipe: Recipe, encoder: SASRec, split: Split, text: Tensor) -> GateReading:
    """The recipe's choice; for "random" the spread of sequence vectors is measured on training histories.

    Args:
        text: [N, P], components of the language model's reading of each item (`ItemFeatures.text`).
    """
    reads, seed = recipe.adapter.gate_reads, recipe.run.seed
    if reads == "tokens":
        readings = torch.zeros(len(text) + 1, encoder.shape.width)
        leading = text[:, : encoder.shape.width].float()
        readings[:-1, : leading.shape[1]] = leading
        return GateReading(reads, seed, readings=readings)
    if reads != "random":
        return GateReading(reads, seed)
    histories = split.train[:MEASURED_USERS]
    with torch.inference_mode():
        parts = [
            encoder.eval().last_state(encoder.padded(histories[i : i + 256])).cpu()
            for i in range(0, len(histories), 256)
        ]
    states = torch.cat(parts)
    return GateReading(reads, seed, states.mean(0), states.std(0))


class OthersHistories(TorchDataset[Row]):
    """Rows whose gate reads the history of another row, drawn at random until its user is another.

    Another row, not another of the batch: a batch of one row and two rows of one user need no exception, and
    row i still depends on (seed, i) only, however rows are put into batches and wherever a run resumes.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self.inner, self.seed = rows, seed

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Row:
        row = self.inner[index]
        generator = np.random.default_rng([OTHER_HISTORY, self.seed, index])
        for _ in range(1000):
            other = self.inner[int(generator.integers(2**31))]
            if other.user != row.user:
                return replace(row, seen_by_gate=other.seen_by_gate, read_of=other.user)
        raise DataError("A shuffled gate needs other users: nearly all training rows are one user's.")


def others(users: Sequence[int], seed: int) -> Indices:
    """For each of n places the place of another user: [n] int64, a permutation, always the same for one seed.

    Users stand together in random order, and everybody reads at one distance; from the largest group's size
    on, nobody meets himself. Where one user has more than half of the places, as few as possible do.
    """
    _, group, sizes = np.unique(np.asarray(users), return_inverse=True, return_counts=True)
    n, largest = len(group), int(sizes.max())
    generator = np.random.default_rng([OTHER_CASE, seed])
    order = np.lexsort((generator.random(n), generator.permutation(len(sizes))[group]))  # [n]
    distance = largest if 2 * largest >= n else int(generator.integers(largest, n - largest + 1))
    read = np.empty(n, dtype=np.int64)
    read[order] = np.roll(order, -distance)
    return read
