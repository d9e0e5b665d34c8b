"""Where people are in the encoder's space, which experts lead where, and who leans on which: the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from app.web.portraits import join_words, standing_out

MOST_POINTS = 5_000
CLUSTERS = 8
"""As many groups as the evaluation looks at when it asks who is served worse."""
SEED = 7
COMMON = 0.05
"""A genre that fewer than this part of all history entries have is left out: its lift would be noise. Titles
that stand for tastes (`portraits.TITLES`) are the most frequent there are."""
TINY = 1e-12
"""Weight of an expert that nobody is given: its lifts are 0, not a division by nothing."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cluster:
    """People close together in the encoder's space; `words` is what stands out, computed, may be empty."""

    people: int
    words: str


@dataclass(frozen=True)
class Atlas:
    """U people drawn, K experts, C clusters, G genres.

    Attributes:
        cases: [P] positions in `Service.cases` of the people on the map, at most 5,000.
        points: [P, 2] first two principal components, scaled into 0 .. 1 by one factor for both axes.
        explained: which part of the variance each axis carries.
        leaders: [P] the expert with the largest weight.
        people: U, all that the numbers below rest on.
        shares: [K] mean weight of every expert.
        leads: [K] how many people lean on it most.
        entropy: mean entropy of a person's weights, in nats.
        clusters: C, the largest first.
        by_cluster: [K, C] mean weight in the cluster divided by the mean weight of all.
        genres: names of G common genres and eras.
        by_genre: [K, G] share of the genre where the expert's weight lies, divided by its share over all.
    """

    cases: NDArray[np.int64]
    points: Floats
    explained: tuple[float, float]
    leaders: NDArray[np.int64]
    people: int
    shares: Floats
    leads: tuple[int, ...]
    entropy: float
    clusters: tuple[Cluster, ...]
    by_cluster: Floats
    genres: tuple[str, ...]
    by_genre: Floats

    @property
    def equal_experts(self) -> float:
        """How many equal experts a typical person's mixture is worth: exp of the mean entropy, 1 .. K."""
        return float(np.exp(self.entropy))


def draw_atlas(
    sequence: NDArray[np.float32],
    gate: NDArray[np.float32],
    names: Sequence[str],
    traits: Floats,
    seed: int = SEED,
    common: float = COMMON,
) -> Atlas:
    """Encoder states [U, D], gates [U, K] and trait shares [U, T] of the same U people -> the atlas.

    Args:
        common: traits that fewer than this part of all history entries have are left out.
    """
    people = len(sequence)
    wide = sequence.astype(np.float64)
    pca = PCA(2, svd_solver="full").fit(wide)
    random = np.random.default_rng(seed)
    cases = np.sort(random.permutation(people)[:MOST_POINTS])
    flat = pca.transform(wide[cases])
    spread = float(np.ptp(flat, axis=0).max()) or 1.0
    points = (flat - flat.min(0)) / spread
    points += (1 - points.max(0)) / 2
    weights = gate.astype(np.float64)
    clusters, by_cluster = _clusters(wide, weights, names, traits, seed)
    kept = [
        place
        for place in np.argsort(-traits.mean(0), kind="stable").tolist()
        if traits[:, place].mean() >= common
    ]
    over_all = traits.mean(0)[kept]
    lifts = (weights.T @ traits[:, kept]) / np.maximum(weights.sum(0), TINY)[:, None] / over_all
    leaders = weights.argmax(1)
    logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return Atlas(
        cases=cases,
        points=points,
        explained=(float(pca.explained_variance_ratio_[0]), float(pca.explained_variance_ratio_[1])),
        leaders=leaders[cases],
        people=people,
        shares=weights.mean(0),
        leads=tuple(np.bincount(leaders, minlength=weights.shape[1]).tolist()),
        entropy=float(-(weights * logs).sum(1).mean()),
        clusters=clusters,
        by_cluster=by_cluster,
        genres=tuple(names[place] for place in kept),
        by_genre=lifts,
    )


def _clusters(
    wide: Floats, weights: Floats, names: Sequence[str], traits: Floats, seed: int
) -> tuple[tuple[Cluster, ...], Floats]:
    count = min(CLUSTERS, len(wide))
    labels = KMeans(count, n_init=4, random_state=seed).fit_predict(wide)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    told, columns = [], []
    for label in order.tolist():
        inside = labels == label
        enough = 1 < inside.sum() < len(labels) - 1
        found = standing_out(names, traits[inside], traits[~inside]) if enough else ()
        told.append(Cluster(int(inside.sum()), join_words([trait.name for trait in found])))
        columns.append(weights[inside].mean(0) / np.maximum(weights.mean(0), TINY))
    return tuple(told), np.stack(columns, axis=1)
