"""The results of a batch as a table: one row per person; Parquet with real lists, CSV for spreadsheets."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.batch.people import People
from core.batch.scoring import Scored
from core.catalog import Catalog
from core.csv_writing import Cell, CsvWriter
from core.recommendation import AdapterName

POPULAR = "nothing known: the most popular items"
BETWEEN = " | "
"""Between the entries of a list in a CSV cell."""


def schema(adapters: Sequence[AdapterName]) -> pa.Schema:
    """Columns of the Parquet table."""
    lists = [
        field
        for adapter in adapters
        for field in (
            pa.field(f"{adapter}_ids", pa.list_(pa.string())),
            pa.field(f"{adapter}_titles", pa.list_(pa.string())),
            pa.field(f"{adapter}_probabilities", pa.list_(pa.float32())),
        )
    ]
    return pa.schema(
        [
            pa.field("user", pa.string()),
            pa.field("known", pa.int32()),
            pa.field("unknown", pa.int32()),
            pa.field("gate", pa.list_(pa.float32())),
            *(pa.field(_overlap(a, b), pa.float32()) for a, b in combinations(adapters, 2)),
            *lists,
            pa.field("note", pa.string()),
        ]
    )


def records(
    catalog: Catalog, people: People, start: int, scored: Sequence[Scored], adapters: Sequence[AdapterName]
) -> list[dict[str, Any]]:
    """Rows of the people `start`, `start + 1`, ... with these results."""
    rows = []
    for person, done in enumerate(scored, start):
        row: dict[str, Any] = {
            "user": people.users[person],
            "known": len(people.history(person)),
            "unknown": int(people.unknown[person]),
            "gate": list(done.gate),
            "note": "" if done.gate else POPULAR,
        }
        for a, b in combinations(adapters, 2):
            row[_overlap(a, b)] = done.overlaps.get((a, b))
        for adapter in adapters:
            listed = done.lists[adapter]
            row[f"{adapter}_ids"] = [catalog[item].item_id for item in listed.items]
            row[f"{adapter}_titles"] = [catalog[item].title for item in listed.items]
            row[f"{adapter}_probabilities"] = list(listed.probabilities)
        rows.append(row)
    return rows


def write_parquet(parts: Iterable[pa.Table], columns: pa.Schema, out: Path) -> None:
    """Parts one after the other into one Parquet file; only one is in memory at a time."""
    with pq.ParquetWriter(out, columns, compression="zstd") as writer:
        for part in parts:
            writer.write_table(part)


def write_csv(parts: Iterable[pa.Table], columns: pa.Schema, out: Path) -> None:
    """The same as CSV for spreadsheets: lists joined by ` | `, titles that begin like formulas disarmed."""
    with out.open("w", encoding="utf-8", newline="") as text:
        writer = CsvWriter(text, columns.names)
        for part in parts:
            writer.write_all([_cell(row[name]) for name in columns.names] for row in part.to_pylist())


def _cell(value: object) -> Cell:
    if isinstance(value, list):
        return BETWEEN.join(f"{part:.4g}" if isinstance(part, float) else str(part) for part in value)
    if value is None or isinstance(value, str | int):
        return value
    assert isinstance(value, float)
    return round(value, 4)


def _overlap(a: AdapterName, b: AdapterName) -> str:
    return f"overlap_{a}_{b}"
