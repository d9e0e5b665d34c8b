"""The stack: what other people's histories say of what comes next, by four methods at once.

SASRec reads the order of a history; EASE and item-kNN read which items go together, without order but with
recent ones weighing more; popularity corrects what each of them makes of it. They err on different people,
and a weighted sum of them beats each alone (stacking, Wolpert 1992). Weights are fitted on validation users
(`core.evaluation.stacking`).

Shapes: B people, N items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.routing import Floats, History, Router, Routing

RECENT = 10
"""The last items of a history that speak (PROTOCOL)."""
PREFIX = "stack."


@dataclass(frozen=True)
class Neighbours:
    """Items that go together: the scores of a history are those of its items, summed.

    Attributes:
        table: [N, N] float16 or float32; row i is what having had item i says of every item.
        decay: weight of an item one step older.
    """

    table: NDArray[np.floating]
    decay: float

    def scores(self, histories: Sequence[History]) -> Floats:
        """[B, N] float32; zeros for an empty history."""
        told = np.zeros((len(histories), self.table.shape[1]), dtype=np.float32)
        for row, history in enumerate(histories):
            recent = list(history[-RECENT:])
            ages = np.arange(len(recent) - 1, -1, -1, dtype=np.float32)
            if recent:
                told[row] = np.float32(self.decay) ** ages @ self.table[recent].astype(np.float32)
        return told


@dataclass(frozen=True)
class Stack:
    """A weighted sum of four opinions; its softmax is as sure as validation users were predictable.

    Attributes:
        neighbours: by name ("ItemKNN", "EASE").
        weights: of each of them.
        popularity: [N] float32, already weighted.
        encoder: weight of the encoder's scores, 0 where it has nothing to add.
    """

    neighbours: Mapping[str, Neighbours]
    weights: Mapping[str, float]
    popularity: Floats
    encoder: float = 1.0

    def scores(self, histories: Sequence[History], encoder: Floats) -> Floats:
        """Encoder scores [B, N] of the same histories -> those of all four, [B, N] float32."""
        told = np.float32(self.encoder) * encoder + self.popularity
        for name, neighbours in self.neighbours.items():
            told += np.float32(self.weights[name]) * neighbours.scores(histories)
        stacked: Floats = told
        return stacked

    def tensors(self) -> dict[str, Tensor]:
        """As a bundle keeps it, tables in half precision."""
        import torch

        kept = {
            f"{PREFIX}popularity": torch.from_numpy(self.popularity),
            f"{PREFIX}encoder": torch.tensor(self.encoder),
        }
        for name, own in self.neighbours.items():
            kept[f"{PREFIX}{name}.table"] = torch.from_numpy(own.table.astype(np.float16))
            kept[f"{PREFIX}{name}.decay_weight"] = torch.tensor([own.decay, self.weights[name]])
        return kept

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "Stack | None":
        """What `tensors` gave; None where a bundle has none.

        Raises:
            KeyError: a part is missing.
        """
        if f"{PREFIX}popularity" not in tensors:
            return None
        names = [
            key.removeprefix(PREFIX).removesuffix(".table")
            for key in tensors
            if key.startswith(PREFIX) and key.endswith(".table")
        ]
        settings = {name: tensors[f"{PREFIX}{name}.decay_weight"].tolist() for name in names}
        return cls(
            {name: Neighbours(tensors[f"{PREFIX}{name}.table"].numpy(), settings[name][0]) for name in names},
            {name: settings[name][1] for name in names},
            tensors[f"{PREFIX}popularity"].numpy(),
            float(tensors[f"{PREFIX}encoder"]),
        )


class StackedRouter:
    """A router whose scores are the stack's: whatever retrieves by them or blends them in has all four.

    Args:
        router: gives gate, sequence and the encoder's scores.
        stack: over the same N items.
    """

    def __init__(self, router: Router, stack: Stack) -> None:
        self.router, self.stack = router, stack

    @property
    def num_experts(self) -> int:
        return self.router.num_experts

    def route(self, histories: Sequence[History]) -> Routing:
        """As the router's, with the stack's scores [B, N] and the best C by them."""
        done = self.router.route(histories)
        scores = self.stack.scores(histories, done.scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : done.retrieved.shape[1]]
        return Routing(done.sequence, done.gate, scores, best.astype(np.int64))
