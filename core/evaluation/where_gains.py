"""Where iLoRA gains or loses against LoRA: by bucket and by cluster of users, and which experts are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.intervals import Difference, Rate, paired_bootstrap, rate
from core.evaluation.run_comparison import BOOTSTRAP_SEED, paired_hits
from core.evaluation.summary import Row

BUCKETS = ("history_bucket", "popularity_decile", "density", "cluster")
"""Columns of the Parquet files that sort users into buckets."""
DENSITY = {"sparse": 1, "medium": 2, "dense": 3}
"""Labels that are not in the order of their names."""


@dataclass(frozen=True)
class BucketGain:
    """One bucket: both rates and their paired difference, over its own users, seeds and draws averaged."""

    label: str
    a: Rate
    b: Rate
    difference: Difference


@dataclass(frozen=True)
class ExpertUse:
    """How one run uses its experts on the users who were asked.

    Attributes:
        method, run, seed: whose.
        shares: [K] mean weight of each expert.
        leads: [K] share of users whose largest weight it is.
        entropy: mean entropy of a user's mixture, over that of a uniform one: 1 is uniform, 0 one expert.
        between: [K] standard deviation of each expert's weight over users: 0 is one mixture for everybody.
        clusters: cluster label -> (users, [K] mean weights).
    """

    method: str
    run: str
    seed: int | None
    shares: tuple[float, ...]
    leads: tuple[float, ...]
    entropy: float
    between: tuple[float, ...]
    clusters: Mapping[str, tuple[int, tuple[float, ...]]]


def gains_by_bucket(a: Mapping[int, Row], b: Mapping[int, Row], column: str) -> tuple[BucketGain, ...]:
    """Gains of b over a in every bucket of a column; rows by training seed.

    Clusters lie in the space of one encoder, and each seed has its own: the first seed alone is sorted.
    """
    seeds = [seed for seed in b if seed in a][: 1 if column == "cluster" else None]
    pairs = [paired_hits(a[seed], b[seed]) for seed in seeds]
    hits_a, hits_b = (np.hstack(side) for side in zip(*pairs, strict=True))  # (n, S * D)
    labels = np.array([label or "" for label in b[seeds[0]].files[0].words(column)])
    gains = []
    for label in sorted(set(labels[labels != ""].tolist()), key=lambda name: (DENSITY.get(name, 0), name)):
        own = labels == label
        difference = paired_bootstrap(hits_a[own], hits_b[own], BOOTSTRAP_SEED, samples=4000)
        gains.append(BucketGain(label, rate(hits_a[own]), rate(hits_b[own]), difference))
    return tuple(gains)


def expert_use(row: Row) -> ExpertUse | None:
    """Expert use of one run; None for a method without experts. The gate is the same in every draw."""
    results = row.files[0]
    gates = results.gates()  # (n, K)
    if gates.shape[1] < 2:
        return None
    clusters = np.array([label or "" for label in results.words("cluster")])
    return ExpertUse(
        method=row.header.method,
        run=row.header.run,
        seed=row.header.seed,
        shares=_floats(gates.mean(0)),
        leads=_floats(np.bincount(gates.argmax(1), minlength=gates.shape[1]) / len(gates)),
        entropy=float(_entropy(gates).mean() / np.log(gates.shape[1])),
        between=_floats(gates.std(0)),
        clusters={
            str(label): (int((clusters == label).sum()), _floats(gates[clusters == label].mean(0)))
            for label in np.unique(clusters[clusters != ""])
        },
    )


def _entropy(gates: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, K] -> [n] nats; an expert of weight 0 adds nothing."""
    logs = np.log(gates, out=np.zeros_like(gates), where=gates > 0)
    return -(gates * logs).sum(1)


def _floats(values: NDArray[np.float64] | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
