"""Per-user results as Parquet: what one file holds, and what it says about itself.

One file per method, data set, split, part, candidate kind and draw; one row per user, in the order of the
cases. Everything that is reported later is computed from these files alone.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.data.candidate_files import Part
from core.data.candidates import Kind
from core.errors import RunError

FORMAT = 1
"""Raised when a column changes its meaning: files of another format are refused."""

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("part", pa.string()),
        ("method", pa.string()),  # the row's label: iLoRA, Popularity, ...
        ("run", pa.string()),  # run folder's name; for baselines what they were made from
        ("seed", pa.int64()),  # of training; null where nothing is random
        ("candidates", pa.string()),  # uniform or popularity
        ("draw", pa.int32()),
        ("user", pa.string()),  # external id
        ("target", pa.string()),  # item id
        ("rank", pa.int32()),  # of the target among the candidates, 1 is best; last where not valid
        ("score", pa.float32()),  # of the target; null where not valid
        ("valid", pa.bool_()),
        (
            "full_rank",
            pa.int32(),
        ),  # in the whole catalogue without what was seen; null = ranks candidates only
        (
            "top10",
            pa.list_(pa.string()),
        ),  # item ids of the whole catalogue, best first; empty with full_rank null
        ("gate", pa.list_(pa.float32())),  # mixture of the experts, mean over layers; empty without experts
        ("history_length", pa.int32()),  # items known before the target
        ("history_bucket", pa.string()),
        (
            "popularity_decile",
            pa.string(),
        ),  # of the target in training: D01 least to D10 most popular, or unseen
        ("density", pa.string()),  # of the user: sparse, medium or dense
        ("cluster", pa.string()),  # of the user in the space of this method's encoder; null without encoder
    ]
)


@dataclass(frozen=True)
class Header:
    """What a file says about itself, in its schema's metadata.

    Attributes:
        dataset, split, part, candidates, draw: as in the columns.
        dataset_sha256, candidates_sha256: content hashes; results of other data are never mixed in.
        cases: how many cases the part has; a file with fewer rows is not complete (or was asked for fewer).
        catalogue: N.
        width: C, candidates per case.
        method, run, seed: as in the columns.
        recipe, weights: sha256 of what was set and of what was trained.
        note: what a reader of the row must know.
        train_samples, train_minutes: None for what is not trained or was not timed.
        version: of the code that wrote the file.
        format: of the columns.
    """

    dataset: str
    split: str
    part: Part
    candidates: Kind
    draw: int
    dataset_sha256: str
    candidates_sha256: str
    cases: int
    catalogue: int
    width: int
    method: str
    run: str
    seed: int | None
    recipe: str
    weights: str
    note: str
    train_samples: int | None
    train_minutes: float | None
    version: str
    format: int = FORMAT

    def as_metadata(self) -> dict[str, str]:
        """As Parquet keeps it."""
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in asdict(self).items()}

    @classmethod
    def of_metadata(cls, metadata: dict[bytes, bytes]) -> "Header":
        """Back from Parquet. Raises KeyError or ValueError where it is not ours."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = metadata[field.name.encode()].decode()
            values[field.name] = text if field.type in (str, Part, Kind) else json.loads(text)
        return cls(**values)


@dataclass(frozen=True)
class Lists:
    """What was counted over everybody's first ten where the lists themselves are not kept (an archive).

    Attributes:
        coverage: share of the catalogue that is in anybody's.
        popularity_rank: mean popularity rank of what is in them; None when not known.
    """

    coverage: float
    popularity_rank: float | None


@dataclass(frozen=True)
class Results:
    """One file, read.

    Attributes:
        path, sha256: of the file.
        header: what it says about itself.
        table: one row per user, columns of `SCHEMA`.
        lists: None where the table holds the lists.
    """

    path: Path
    sha256: str
    header: Header
    table: pa.Table
    lists: Lists | None = None

    @property
    def users(self) -> list[str]:
        """External ids, n."""
        users: list[str] = self.table["user"].to_pylist()
        return users

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A number column, [n] float64; NaN where it is null."""
        values = self.table[column].to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float64)

    def words(self, column: str) -> list[Any]:
        """A column of words or lists, n."""
        values: list[Any] = self.table[column].to_pylist()
        return values

    def gates(self) -> NDArray[np.float64]:
        """Mixtures, [n, K] float64; [n, 0] without experts."""
        lists = self.words("gate")
        width = len(lists[0]) if lists else 0
        return np.array(lists, dtype=np.float64).reshape(len(lists), width)

    def first(self, users: set[str]) -> "Results":
        """The rows of these users only, in the file's order."""
        keep = pa.array([user in users for user in self.users])
        return Results(self.path, self.sha256, self.header, self.table.filter(keep))


def write_results(path: Path, header: Header, table: pa.Table) -> None:
    """Write or replace a file in one step: a reader sees the old rows or the new ones, never half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    pq.write_table(table.cast(SCHEMA).replace_schema_metadata(header.as_metadata()), temporary)
    temporary.replace(path)


def read_results(path: Path) -> Results:
    """Read a file and hash it.

    Raises:
        RunError: it is not a file of results, or of another format.
    """
    try:
        content = path.read_bytes()
        table = pq.read_table(pa.BufferReader(content))
        header = Header.of_metadata(table.schema.metadata or {})
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise RunError(
            f"{path} holds no results of `ilora evaluate`: remove it, or name another folder."
        ) from error
    if header.format != FORMAT or table.schema.remove_metadata() != SCHEMA:
        raise RunError(
            f"{path} was written in format {header.format} by version {header.version}; this version reads "
            f"format {FORMAT}: evaluate into another folder."
        )
    return Results(path, hashlib.sha256(content).hexdigest(), header, table.replace_schema_metadata(None))
