"""Buckets of PROTOCOL: which kind of question each case is.

Every function gives one label per case, in the order of the cases. Counts are of training sequences only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.cluster import KMeans

from core.data.dataset import Case
from core.routing import HISTORY_AT_TEST, Floats

SPARSE = 20
"""PROTOCOL: users with up to so many known items are sparse."""
UNSEEN = "unseen"
"""What is said of a target without an interaction in training: only its title is known."""
CLUSTERS = 8

Labels = tuple[str, ...]
Counts = NDArray[np.int64]


def history_lengths(cases: Sequence[Case]) -> Labels:
    """How many items a method reads, at most the last 10: "0", "1", "2", "3-5" or "6-10"."""
    lengths = [min(len(case.history), HISTORY_AT_TEST) for case in cases]
    return tuple(str(n) if n < 3 else "3-5" if n <= 5 else "6-10" for n in lengths)


def target_popularity(cases: Sequence[Case], counts: Counts) -> Labels:
    """Decile of the target among all items that train, "D01" (least popular) to "D10"; "unseen" for others.

    An item's decile is that of its mean rank by training count, so items with equal counts are always in
    the same decile, and deciles need not hold equally many items. There are far more cases in the high ones.
    """
    trained = counts > 0
    share = np.zeros(len(counts))
    share[trained] = rankdata(counts[trained], method="average") / trained.sum()
    deciles = np.clip(np.ceil(10 * share), 1, 10).astype(int)
    return tuple(f"D{deciles[case.target]:02}" if trained[case.target] else UNSEEN for case in cases)


def user_density(cases: Sequence[Case]) -> Labels:
    """Users with up to 20 known items are "sparse"; the others "medium" up to their own median, else "dense".

    Known are all items before the target, not only the 10 that are read. Where users are dense as a rule
    (MovieLens) the thirds are not equally large: 20 is PROTOCOL's, the same on every data set.
    """
    known = np.array([len(case.history) for case in cases], dtype=np.int64)
    others = known[known > SPARSE]
    median = float(np.median(others)) if len(others) else SPARSE
    return tuple("sparse" if k <= SPARSE else "medium" if k <= median else "dense" for k in known)


@dataclass(frozen=True)
class UserClusters:
    """Groups of people in encoder space, largest first when fitted.

    Attributes:
        centres: [8, D] float64.
    """

    centres: NDArray[np.float64]

    @classmethod
    def fit(cls, sequence: Floats, seed: int, clusters: int = CLUSTERS) -> "UserClusters":
        """Encoder states [n, D] of the people to be grouped -> k-means' best of ten starts.

        Raises:
            ValueError: fewer people than clusters.
        """
        if len(sequence) < clusters:
            raise ValueError(f"{len(sequence)} people cannot form {clusters} clusters")
        fitted = KMeans(clusters, n_init=10, random_state=seed).fit(sequence.astype(np.float64))
        # k-means numbers its clusters at will: by size, number 1 means the same thing in every run.
        order = np.argsort(-np.bincount(fitted.labels_, minlength=clusters), kind="stable")
        return cls(fitted.cluster_centers_[order])

    def labels(self, sequence: Floats) -> Labels:
        """Encoder states [n, D] -> "cluster 1" ... "cluster 8", the nearest centre's."""
        # (n, 1, D) - (8, D) -> squared distances (n, 8)
        distances = ((sequence[:, None].astype(np.float64) - self.centres) ** 2).sum(-1)
        return tuple(f"cluster {number + 1}" for number in distances.argmin(1))
