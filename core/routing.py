"""What routing returns, and the protocol both routers satisfy (torch in `core.encoder`, ONNX in `exports`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
History = Sequence[int]
"""Dense item indices of one person, oldest first."""


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
