"""Fixed candidate lists: the target among negatives, the same for every method.

Two kinds: "uniform" negatives, and "popularity" ones, which are harder: what many people watched is often
among them, so ranking by popularity alone no longer helps.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.data.dataset import Case, Dataset, Split
from core.errors import DataError

Kind = Literal["uniform", "popularity"]
KINDS: tuple[Kind, ...] = get_args(Kind)

DEFAULT_SEED = 2408_10159
"""The paper's arXiv number; any fixed number would do."""


@dataclass(frozen=True)
class CandidateTable:
    """Candidates of n cases.

    Attributes:
        table: [n, C] int64 dense item indices; each row holds its case's target once, at a random place.
        users: [n] int64, the cases' users.
        targets: [n] int64, the cases' targets.
        seed: the named seed.
        draw: which draw of that seed.
        kind: how the negatives were drawn.
    """

    table: NDArray[np.int64]
    users: NDArray[np.int64]
    targets: NDArray[np.int64]
    seed: int
    draw: int
    kind: Kind = "uniform"

    @property
    def sha256(self) -> str:
        """Hash over kind, users, targets and candidates; the same on every machine."""
        # Uniform tables carry no name in their hash: files written before there were kinds stay valid.
        name = "" if self.kind == "uniform" else f" {self.kind}"
        digest = hashlib.sha256(f"{self.table.shape[1]}{name}".encode())
        for array in (self.users, self.targets, self.table):
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> str:
        """Write as Parquet (user, target, candidates; the rest as metadata); returns the hash."""
        metadata = {
            "kind": self.kind,
            "seed": str(self.seed),
            "draw": str(self.draw),
            "sha256": self.sha256,
        }
        columns = {"user": self.users, "target": self.targets, "candidates": list(self.table)}
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
        return self.sha256

    @classmethod
    def load(cls, path: Path) -> "CandidateTable":
        """Read what `save` wrote. Raises DataError when the content is not what its hash says."""
        try:
            stored = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path} is not a readable candidate table; draw it again.") from error
        metadata = {key.decode(): value.decode() for key, value in (stored.schema.metadata or {}).items()}
        kind = metadata.get("kind", "uniform")
        if kind not in KINDS:
            raise DataError(f'{path} holds candidates of the kind "{kind}"; known are: {", ".join(KINDS)}.')
        loaded = cls(
            table=np.array(stored["candidates"].to_pylist(), dtype=np.int64),
            users=stored["user"].to_numpy().astype(np.int64),
            targets=stored["target"].to_numpy().astype(np.int64),
            seed=int(metadata.get("seed", -1)),
            draw=int(metadata.get("draw", -1)),
            kind=kind,
        )
        if loaded.sha256 != metadata.get("sha256"):
            raise DataError(f"{path} is not what its sha256 says; draw the candidates again.")
        return loaded


def training_counts(split: Split, num_items: int) -> NDArray[np.int64]:
    """How often each item occurs in the split's training sequences: [N] int64."""
    seen = np.fromiter((item for sequence in split.train for item in sequence), dtype=np.int64)
    return np.bincount(seen, minlength=num_items).astype(np.int64)


def draw_candidates(
    dataset: Dataset,
    cases: Sequence[Case],
    negatives: int = 19,
    seed: int = DEFAULT_SEED,
    draw: int = 0,
    counts: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Target + negatives for every case, shuffled: int64 [n, negatives + 1].

    Negatives are items the user never interacted with, over his whole sequence, without repetition. Each row
    depends on seed, draw, external user id, target and data only: adding users or reordering cases changes no
    row.

    Args:
        counts: [N] int64, how often each item trains (:func:`training_counts`). With them negatives are drawn
            by popularity: one after the other, each with chance proportional to its count + 1 among the
            items still left (the 1 lets an item that nobody trained on be drawn too). None draws uniformly.

    Raises:
        DataError: a user has seen so much of the catalogue that too few negatives are left.
    """
    return candidate_table(dataset, cases, negatives, seed, draw, counts).table


def candidate_table(
    dataset: Dataset,
    cases: Sequence[Case],
    negatives: int = 19,
    seed: int = DEFAULT_SEED,
    draw: int = 0,
    counts: NDArray[np.int64] | None = None,
) -> CandidateTable:
    """As :func:`draw_candidates`, with users, targets, kind and hash for a file."""
    rows = np.empty((len(cases), negatives + 1), dtype=np.int64)
    for row, case in zip(rows, cases, strict=True):
        user = dataset.users[case.user]
        unseen = np.ones(dataset.num_items, dtype=bool)
        unseen[[*dataset.sequences[case.user], case.target]] = False
        pool = np.flatnonzero(unseen)
        if len(pool) < negatives:
            raise DataError(
                f"User {user} leaves only {len(pool)} unseen items; {negatives} negatives are needed: bring "
                "more items, or leave such users out."
            )
        key = f"{seed}/{draw}/{user}/{case.target}"
        if counts is None:
            chosen, place = _uniform(pool, negatives, _words(key))
        else:
            chosen, place = _by_weight(pool, counts[pool] + 1, negatives, _words(f"{key}/popularity"))
        row[:] = np.insert(chosen, place % (negatives + 1), case.target)
    return CandidateTable(
        table=rows,
        users=np.array([case.user for case in cases], dtype=np.int64),
        targets=np.array([case.target for case in cases], dtype=np.int64),
        seed=seed,
        draw=draw,
        kind="uniform" if counts is None else "popularity",
    )


def _words(key: str) -> np.random.PCG64:
    """A stream of 64-bit words that depends on the key alone.

    Raw words, not Generator.choice: numpy promises the same bit stream for ever, but not the same samples.
    """
    return np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))


def _uniform(pool: NDArray[np.int64], wanted: int, words: np.random.PCG64) -> tuple[NDArray[np.int64], int]:
    """Items of the pool in random order, and a random place."""
    *order, place = words.random_raw(len(pool) + 1).tolist()
    return pool[np.argsort(np.array(order, dtype=np.uint64), kind="stable")[:wanted]], place


def _by_weight(
    pool: NDArray[np.int64], weights: NDArray[np.int64], wanted: int, words: np.random.PCG64
) -> tuple[NDArray[np.int64], int]:
    """Items of the pool one after the other by weight without repetition, and a random place.

    Whole numbers only: a logarithm's last bit differs between processors, and with it would the rows.
    """
    left = weights.copy()
    *drawn, place = words.random_raw(wanted + 1).tolist()
    chosen = np.empty(wanted, dtype=np.int64)
    for number, word in enumerate(drawn):
        reach = np.cumsum(left)
        at = int(np.searchsorted(reach, (word * int(reach[-1])) >> 64, side="right"))
        chosen[number], left[at] = pool[at], 0
    return chosen, place
