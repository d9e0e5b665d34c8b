"""What routing returns, and the protocol of both routers (torch in `core.encoder`, ONNX in `exports`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
History = Sequence[int]
"""Dense item indices of one person, oldest first."""
HISTORY_AT_TEST = 10
"""PROTOCOL: whoever is tested is known by the last 10 items before the target."""


@dataclass(frozen=True)
class Routing:
    """Everything known about B histories before the language model is asked.

    Attributes:
        sequence: [B, D] float32, the encoder's state after the last item.
        gate: [B, K] float32, expert weights; rows are >= 0 and sum to 1.
        scores: [B, N] float32, the encoder's own (collaborative) scores of the whole catalogue.
        retrieved: [B, C] int64, the best C items by `scores`, best first.
    """

    sequence: Floats
    gate: Floats
    scores: Floats
    retrieved: Indices


class Router(Protocol):
    """History in, :class:`Routing` out. Histories may be empty and of different lengths."""

    @property
    def num_experts(self) -> int: ...

    def route(self, histories: Sequence[History]) -> Routing: ...


def pad_indices(histories: Sequence[History], num_items: int, max_length: int) -> Indices:
    """The last `max_length` items of each history, padded on the right with N: int64 [B, L], L >= 1.

    Plain numpy, so that a request needs no torch before the language model.

    Raises:
        DataError: an index outside [0, N). Let through, N itself (padding) would silently shorten a history.
    """
    kept = [history[-max_length:] for history in histories]
    length = max([1, *(len(history) for history in kept)])
    padded = np.full((len(kept), length), num_items, dtype=np.int64)
    for number, (row, history) in enumerate(zip(padded, kept, strict=True)):
        if len(history) == 0:
            continue
        if min(history) < 0 or max(history) >= num_items:
            wrong = next(i for i in history if not 0 <= i < num_items)
            last = num_items - 1
            raise DataError(f"History {number} holds item index {wrong}; indices go from 0 to {last}.")
        row[: len(history)] = history
    return padded
