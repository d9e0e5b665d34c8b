"""Results of one data set and split in one small file that may be published: ranks by case number, no ids.

Who the users are and what they chose stays out: it would be a piece of the data set, whose terms forbid to
pass it on. Tables and comparisons computed from an archive are those of the per-user files it was made from.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import RunError
from core.evaluation.records import FORMAT, SCHEMA, Header, Lists, Results
from core.evaluation.summary import Row

_HEADERS = b"headers"
_KEPT = ("rank", "valid", "full_rank", "history_bucket", "popularity_decile", "density", "cluster")
"""Columns of a file of results that are kept."""
_SCHEMA = pa.schema(
    [
        ("file", pa.int16()),  # place in the list of headers
        ("case", pa.int32()),  # place among the part's cases
        *(SCHEMA.field(name) for name in _KEPT),
    ]
)


@dataclass(frozen=True)
class _Entry:
    """One file of results: what it said about itself, its own sha256, and its rows."""

    header: Header
    sha256: str
    lists: Lists | None
    rows: pa.Table

    @property
    def key(self) -> tuple[object, ...]:
        """Which row and draw of the tables it is: no comparison takes two runs of one method and seed."""
        h = self.header
        return h.method, h.seed, h.candidates, h.draw


def archive(path: Path, users: Sequence[str], rows: Iterable[Row]) -> None:
    """Put rows into an archive; rows of the same method, seed and candidates are replaced, all others stay.

    Args:
        path: of the archive; made when missing.
        users: external ids of the part's cases, in their order.

    Raises:
        RunError: the archive holds results of other data, candidates or users; or it would hold seeds of one
            method that were not trained equally long.
    """
    entries = {entry.key: entry for entry in _read(path)} if path.is_file() else {}
    places = {user: place for place, user in enumerate(users)}
    new = [_entry(results, places, row) for row in rows for results in row.files]
    for entry in new:
        _refuse_others(path, entries.values(), entry)
        entries[entry.key] = entry
    _refuse_other_lengths(path, entries, new)
    _write(path, sorted(entries.values(), key=lambda entry: tuple(map(str, entry.key))))


def read_archive(path: Path) -> list[Results]:
    """Files of results as they were, but for ids (`case 17`), lists, scores and mixtures, which are left out.

    Raises:
        RunError: it is no archive, or one of another format.
    """
    return [_results(path, entry) for entry in _read(path)]


def _entry(results: Results, places: dict[str, int], row: Row) -> _Entry:
    cases = pa.array([places[user] for user in results.users], pa.int32())
    file = pa.nulls(len(cases), pa.int16())  # numbered when written
    kept = [results.table[name] for name in _KEPT]
    lists = None
    if row.full is not None and row.full.coverage is not None:
        lists = Lists(row.full.coverage, row.full.popularity_rank)
    return _Entry(
        results.header,
        results.sha256,
        lists,
        pa.table([file, cases, *kept], names=_SCHEMA.names).cast(_SCHEMA),
    )


def _refuse_others(path: Path, there: Iterable[_Entry], new: _Entry) -> None:
    for entry in there:
        same_table = (entry.header.candidates, entry.header.draw) == (new.header.candidates, new.header.draw)
        other_data = entry.header.dataset_sha256 != new.header.dataset_sha256
        if other_data or (same_table and entry.header.candidates_sha256 != new.header.candidates_sha256):
            raise RunError(
                f"{path} holds results of other data or candidates ({entry.header.method}): remove it, or "
                "name another folder."
            )


def _refuse_other_lengths(
    path: Path, entries: Mapping[tuple[object, ...], _Entry], new: Sequence[_Entry]
) -> None:
    # Seeds of a method are averaged: those that stay must be of the runs that the new ones belong to.
    replaced = {entry.key for entry in new}
    lengths = {entry.header.method: entry.header.train_samples for entry in new}
    for key, kept in entries.items():
        h = kept.header
        if key not in replaced and h.train_samples != lengths.get(h.method, h.train_samples):
            raise RunError(
                f"{path} holds {h.run}, {h.method} of {h.train_samples} training rows, and what is new "
                f"had {lengths[h.method]}: measure all its seeds in one call, or name another folder."
            )


def _write(path: Path, entries: Sequence[_Entry]) -> None:
    headers = [
        {
            **asdict(entry.header),
            "sha256": entry.sha256,
            "lists": None if entry.lists is None else asdict(entry.lists),
        }
        for entry in entries
    ]
    tables = [
        entry.rows.set_column(0, "file", pa.array(np.full(len(entry.rows), number, np.int16)))
        for number, entry in enumerate(entries)
    ]
    table = pa.concat_tables(tables).combine_chunks().cast(_SCHEMA)
    metadata = {_HEADERS: json.dumps(headers).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    pq.write_table(
        table.replace_schema_metadata(metadata), temporary, compression="zstd", compression_level=19
    )
    temporary.replace(path)


def _read(path: Path) -> list[_Entry]:
    try:
        table = pq.read_table(path)
        headers: list[dict[str, Any]] = json.loads((table.schema.metadata or {})[_HEADERS])
        described = [_described(header) for header in headers]
    except (OSError, pa.ArrowInvalid, KeyError, ValueError, TypeError) as error:
        raise RunError(f"{path} is no archive of results: remove it, or name another folder.") from error
    numbers = table["file"].to_numpy()
    return [
        _Entry(header, digest, lists, table.filter(pa.array(numbers == number)).replace_schema_metadata(None))
        for number, (header, digest, lists) in enumerate(described)
    ]


def _described(told: dict[str, Any]) -> tuple[Header, str, Lists | None]:
    if told["format"] != FORMAT:
        raise ValueError(f"format {told['format']}")
    lists = told.pop("lists")
    digest = told.pop("sha256")
    return Header(**told), digest, None if lists is None else Lists(**lists)


def _results(path: Path, entry: _Entry) -> Results:
    h, n = entry.header, len(entry.rows)
    columns: dict[str, Any] = {
        **{name: [getattr(h, name)] * n for name in ("dataset", "split", "part", "method", "run", "seed")},
        **{name: [getattr(h, name)] * n for name in ("candidates", "draw")},
        **{name: entry.rows[name] for name in _KEPT},
        "user": [f"case {case}" for case in entry.rows["case"].to_pylist()],
        "target": [""] * n,
        "score": pa.nulls(n, pa.float32()),
        "top10": [[]] * n,
        "gate": [[]] * n,
        "history_length": pa.nulls(n, pa.int32()),
    }
    arrays = [pa.array(v, f.type) if isinstance(v, list) else v for f in SCHEMA for v in [columns[f.name]]]
    table = pa.table(arrays, schema=SCHEMA)
    return Results(path, entry.sha256, h, table, entry.lists)
