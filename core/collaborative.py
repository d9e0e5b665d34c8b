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
from scipy.sparse import csr_array
from torch import Tensor

from core.routing import HISTORY_AT_TEST, Floats, History, Router, Routing

PREFIX = "stack."


def recency_weighted(histories: Sequence[History], num_items: int, decay: float) -> csr_array:
    """The last 10 items of each history, decay ** steps before the last one as weight: [B, N] float32."""
    recent = [history[-HISTORY_AT_TEST:] for history in histories]
    ages = np.fromiter((age for h in recent for age in range(len(h) - 1, -1, -1)), dtype=np.float32)
    items = np.fromiter((item for h in recent for item in h), dtype=np.int64)
    ends = np.cumsum([0, *map(len, recent)])
    # An item that occurs twice is in its row twice: products add both weights.
    return csr_array((np.float32(decay) ** ages, items, ends), shape=(len(recent), num_items))


@dataclass(frozen=True)
class Neighbours:
    """Items that go together: the scores of a history are those of its items, summed.

    Attributes:
        table: [N, N] float32; row i is what having had item i says of every item.
        decay: weight of an item one step older.
    """

    table: Floats
    decay: float

    def scores(self, histories: Sequence[History]) -> Floats:
        """[B, N] float32; zeros for an empty history."""
        told: Floats = recency_weighted(histories, len(self.table), self.decay) @ self.table
        return told

    def nearest(self, most: int) -> "Nearest":
        """Of each item the `most` that it says most about, for or against: what a bundle has room for."""
        own = np.abs(self.table)
        items = np.argsort(-own, axis=1, kind="stable")[:, :most]
        values = np.take_along_axis(self.table, items, axis=1).astype(np.float16)
        small = np.int16 if len(self.table) <= np.iinfo(np.int16).max else np.int32
        return Nearest(items.astype(small), values, self.decay)


@dataclass(frozen=True)
class Nearest:
    """`Neighbours` of which each item keeps k entries; the others are zero.

    Attributes:
        items: [N, k] int16 or int32, which.
        values: [N, k] float16.
        decay: weight of an item one step older.
    """

    items: NDArray[np.integer]
    values: NDArray[np.floating]
    decay: float

    def scores(self, histories: Sequence[History]) -> Floats:
        """[B, N] float32; zeros for an empty history."""
        told = np.zeros((len(histories), len(self.items)), dtype=np.float32)
        for row, history in enumerate(histories):
            # An item's own k differ: no sum is lost.
            for age, item in enumerate(reversed(history[-HISTORY_AT_TEST:])):
                told[row, self.items[item]] += np.float32(self.decay**age) * self.values[item]
        return told


@dataclass(frozen=True)
class Stack:
    """A weighted sum of four opinions; its softmax is as sure as validation users were predictable.

    Attributes:
        neighbours: by name ("ItemKNN", "EASE"); what a bundle keeps is `Nearest`.
        weights: of each of them.
        popularity: [N] float32, already weighted.
        encoder: weight of the encoder's scores, 0 where it has nothing to add.
    """

    neighbours: Mapping[str, Neighbours | Nearest]
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
        """As a bundle keeps it.

        Raises:
            TypeError: whole tables, which no bundle has room for.
        """
        import torch

        kept = {
            f"{PREFIX}popularity": torch.from_numpy(self.popularity),
            f"{PREFIX}encoder": torch.tensor(self.encoder),
        }
        for name, own in self.neighbours.items():
            if not isinstance(own, Nearest):
                raise TypeError(f"{name} is a whole table: keep its nearest.")
            kept[f"{PREFIX}{name}.items"] = torch.from_numpy(own.items)
            kept[f"{PREFIX}{name}.values"] = torch.from_numpy(own.values)
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
        parts = [key.split(".") for key in tensors if key.startswith(PREFIX)]
        names = list(dict.fromkeys(part[1] for part in parts if len(part) == 3))
        settings = {name: tensors[f"{PREFIX}{name}.decay_weight"].tolist() for name in names}

        def near(name: str) -> Nearest:
            items, values = tensors[f"{PREFIX}{name}.items"], tensors[f"{PREFIX}{name}.values"]
            return Nearest(items.numpy(), values.numpy(), settings[name][0])

        return cls(
            {name: near(name) for name in names},
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
