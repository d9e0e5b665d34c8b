"""Fixed candidate lists: the target among uniform negatives, the same for every method."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.data.dataset import Case, Dataset
from core.errors import DataError

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
    """

    table: NDArray[np.int64]
    users: NDArray[np.int64]
    targets: NDArray[np.int64]
    seed: int
    draw: int

    @property
    def sha256(self) -> str:
        """Hash over users, targets and candidates; the same on every machine."""
        digest = hashlib.sha256(f"{self.table.shape[1]}".encode())
        for array in (self.users, self.targets, self.table):
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> str:
        """Write as Parquet (user, target, candidates; seed, draw and hash as metadata); returns the hash."""
        metadata = {"seed": str(self.seed), "draw": str(self.draw), "sha256": self.sha256}
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
        loaded = cls(
            table=np.array(stored["candidates"].to_pylist(), dtype=np.int64),
            users=stored["user"].to_numpy().astype(np.int64),
            targets=stored["target"].to_numpy().astype(np.int64),
            seed=int(metadata.get("seed", -1)),
            draw=int(metadata.get("draw", -1)),
        )
        if loaded.sha256 != metadata.get("sha256"):
            raise DataError(f"{path} is not what its sha256 says; draw the candidates again.")
        return loaded


def draw_candidates(
    dataset: Dataset, cases: Sequence[Case], negatives: int = 19, seed: int = DEFAULT_SEED, draw: int = 0
) -> NDArray[np.int64]:
    """Target + uniform negatives for every case, shuffled: int64 [n, negatives + 1].

    Negatives are items the user never interacted with, over his whole sequence, without repetition. Each row
    depends on seed, draw, external user id, target and data only: adding users or reordering cases changes no
    row.

    Raises:
        DataError: a user has seen so much of the catalogue that too few negatives are left.
    """
    return candidate_table(dataset, cases, negatives, seed, draw).table


def candidate_table(
    dataset: Dataset, cases: Sequence[Case], negatives: int = 19, seed: int = DEFAULT_SEED, draw: int = 0
) -> CandidateTable:
    """As :func:`draw_candidates`, with users, targets and hash for a file."""
    rows = np.empty((len(cases), negatives + 1), dtype=np.int64)
    for row, case in zip(rows, cases, strict=True):
        user = dataset.users[case.user]
        unseen = np.ones(dataset.num_items, dtype=bool)
        unseen[[*dataset.sequences[case.user], case.target]] = False
        pool = np.flatnonzero(unseen)
        if len(pool) < negatives:
            raise DataError(
                f"User {user} leaves only {len(pool)} unseen items; {negatives} negatives are needed."
            )
        key = hashlib.sha256(f"{seed}/{draw}/{user}/{case.target}".encode()).digest()
        # Raw words, not Generator.choice: numpy promises the same bit stream for ever, but not the same
        # samples.
        *order, place = np.random.PCG64(int.from_bytes(key[:16], "little")).random_raw(len(pool) + 1).tolist()
        chosen = pool[np.argsort(np.array(order, dtype=np.uint64), kind="stable")[:negatives]]
        row[:] = np.insert(chosen, place % (negatives + 1), case.target)
    return CandidateTable(
        table=rows,
        users=np.array([case.user for case in cases], dtype=np.int64),
        targets=np.array([case.target for case in cases], dtype=np.int64),
        seed=seed,
        draw=draw,
    )
