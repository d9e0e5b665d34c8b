"""Baselines that every table has a row for. Fitted on training sequences only."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from core.collaborative import recency_weighted
from core.routing import Floats, History, Indices


class Baseline(Protocol):
    """Scores the whole catalogue or given candidates."""

    def fit(self, train: Sequence[History], num_items: int) -> "Baseline": ...

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) -> [B, N] float32, or [B, C] for candidates [B, C] int64."""
        ...


class Popularity:
    """How often an item occurs in training; the same for everybody."""

    counts: NDArray[np.int64]

    def fit(self, train: Sequence[History], num_items: int) -> "Popularity":
        """Training sequences and N -> self."""
        seen = np.fromiter((item for sequence in train for item in sequence), dtype=np.int64)
        self.counts = np.bincount(seen, minlength=num_items)
        return self

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) -> [B, N] float32, or [B, C] for candidates [B, C] int64."""
        everybody = np.broadcast_to(self.counts.astype(np.float32), (len(histories), len(self.counts)))
        return pick(everybody, candidates)


class ItemKNN:
    """Cosine neighbours of the items in the history, recent ones weighing more.

    similarity(i, j) = users with both / (sqrt(users with i * users with j) + shrink). The defaults are the
    best of `core.evaluation.tuning` on the validation users of MovieLens `loo`.

    Args:
        decay: weight of an item one step older.
        shrink: damps pairs seen once or twice.
    """

    similarity: NDArray[np.float32]

    def __init__(self, decay: float = 0.7, shrink: float = 1.0) -> None:
        self.decay, self.shrink = decay, shrink

    def fit(self, train: Sequence[History], num_items: int) -> "ItemKNN":
        """Training sequences and N -> self; N x N float32 in memory."""
        users = interactions(train, num_items)
        together = (users.T @ users).toarray()
        norms = np.sqrt(np.diag(together))
        damped = np.outer(norms, norms) + self.shrink
        # An item nobody has trained on is similar to nothing, also without damping.
        self.similarity = np.divide(together, damped, out=np.zeros_like(together), where=damped > 0)
        np.fill_diagonal(self.similarity, 0.0)
        return self

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) -> [B, N] float32, or [B, C] for candidates [B, C] int64."""
        recent = recency_weighted(histories, len(self.similarity), self.decay)
        return pick(recent @ self.similarity, candidates)


def interactions(train: Sequence[History], num_items: int) -> csr_array:
    """Who had what, however often: a sparse matrix of ones, [training users, N] float32."""
    items = np.fromiter((item for sequence in train for item in set(sequence)), dtype=np.int64)
    ends = np.cumsum([0, *(len(set(sequence)) for sequence in train)])
    return csr_array((np.ones(len(items), dtype=np.float32), items, ends), shape=(len(train), num_items))


def pick(scores: Floats, candidates: Indices | None) -> Floats:
    """Scores of the catalogue [B, N] -> those of the candidates [B, C]; all of them where there are none."""
    return (
        np.ascontiguousarray(scores) if candidates is None else np.take_along_axis(scores, candidates, axis=1)
    )
