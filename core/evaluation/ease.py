"""EASE: a linear item-to-item model with a closed form (Steck 2019, arXiv 1905.03375), as a baseline."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.collaborative import recency_weighted
from core.errors import DataError
from core.evaluation.baselines import interactions, pick
from core.routing import Floats, History, Indices

MOST_ITEMS = 10_000
"""The inverse of so many items takes 800 MB and minutes; more is beyond a baseline."""


class EASE:
    """B = argmin |X - X B|^2 + ridge |B|^2 with diag(B) = 0; scores are a weighted history times B.

    With P = (X^T X + ridge I)^-1, B_ij = -P_ij / P_jj (equation 8). X holds a one per user and item he had;
    when asked, recent items weigh more than old ones. The defaults are the best of `core.evaluation.tuning`
    on the validation users of MovieLens `loo`.

    Args:
        decay: weight of an item one step older.
        ridge: lambda; how much evidence a pair of items needs.

    Attributes:
        known: [M] int64, the items with interactions. All others score 0, as they do without this cut.
        weights: [M, M] float32, B.
    """

    known: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __init__(self, decay: float = 0.9, ridge: float = 800.0) -> None:
        self.decay, self.ridge = decay, ridge

    def fit(self, train: Sequence[History], num_items: int) -> "EASE":
        """Training sequences and N -> self; the inverse is in float64.

        Raises:
            DataError: more items have interactions than can be inverted.
        """
        users = interactions(train, num_items)
        self.num_items = num_items
        self.known = np.unique(users.indices).astype(np.int64)
        if len(self.known) > MOST_ITEMS:
            raise DataError(
                f"EASE inverts a matrix of all items that train: {len(self.known)} are too many, "
                f"{MOST_ITEMS} are possible; leave this baseline out."
            )
        together = (users.T @ users).tocsr()[self.known][:, self.known].toarray().astype(np.float64)
        together[np.diag_indices_from(together)] += self.ridge
        inverse = scipy.linalg.inv(together, overwrite_a=True, assume_a="pos")
        self.weights = (-inverse / np.diag(inverse)).astype(np.float32)
        np.fill_diagonal(self.weights, 0.0)
        return self

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) -> [B, N] float32, or [B, C] for candidates [B, C] int64."""
        recent = recency_weighted(histories, self.num_items, self.decay)[:, self.known]
        scores = np.zeros((len(histories), self.num_items), dtype=np.float32)
        scores[:, self.known] = recent @ self.weights
        return pick(scores, candidates)
