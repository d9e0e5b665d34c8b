"""The untrained language model as a baseline: which title is likeliest after those watched."""

from collections.abc import Sequence

import numpy as np

from core.errors import DataError
from core.ranker import Ranker
from core.ranking_model import BASE
from core.routing import HISTORY_AT_TEST, Floats, History, Indices, Routing


class TitleLikelihood:
    """A ranker's title mode without any adapter: log-likelihood of each candidate's title after the last 10
    titles, less the title's likelihood after none.

    Args:
        ranker: its adapters, if it has any, are switched off.
    """

    def __init__(self, ranker: Ranker) -> None:
        self.ranker = ranker

    def fit(self, train: Sequence[History], num_items: int) -> "TitleLikelihood":
        """Nothing is learned.

        Raises:
            DataError: the ranker has titles of another catalogue.
        """
        titles = len(self.ranker.wording.titles)
        if titles != num_items:
            raise DataError(f"The ranker has {titles} titles, the data set {num_items} items; use its own.")
        return self

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) and candidates [B, C] int64 -> [B, C] float32 nats.

        Raises:
            DataError: no candidates. Reading every title of a catalogue for everybody takes hours.
        """
        if candidates is None:
            raise DataError("Title likelihood reads every candidate's title: name candidates to be ranked.")
        scores = self.ranker.score(
            _no_routing(len(histories)),
            [h[-HISTORY_AT_TEST:] for h in histories],
            candidates,
            BASE,
            mode="title",
        )
        answer: Floats = scores.numpy()
        return answer


def _no_routing(people: int) -> Routing:
    """The bare model asks nobody for advice; one unused weight per person keeps the batch's shape."""
    nothing = np.zeros((people, 0), dtype=np.float32)
    ones = np.ones((people, 1), dtype=np.float32)
    return Routing(nothing, ones, nothing, nothing.astype(np.int64))
