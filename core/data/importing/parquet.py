"""Parquet files into rows of plain cells; rows are numbered from 1, for want of lines."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.assets.progress import Progress
from core.data.importing.batches import ROWS_PER_BATCH, Batch
from core.data.importing.json_lines import cell
from core.errors import DataError

MAGIC = b"PAR1"


def columns_of(path: Path) -> tuple[str, ...]:
    """Names of the top-level columns. Raises DataError where the file cannot be read."""
    try:
        return tuple(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def batches(
    path: Path, names: Sequence[str], size: int = ROWS_PER_BATCH, progress: Progress | None = None
) -> Iterator[Batch]:
    """Batches of rows with the cells of the asked columns.

    Raises:
        DataError: the file is damaged, or a column holds what is no cell.
    """
    number = 1
    try:
        with pq.ParquetFile(path) as file:
            total, size_bytes = file.metadata.num_rows, path.stat().st_size
            for part in file.iter_batches(batch_size=size, columns=list(dict.fromkeys(names))):
                columns = [_cells(part.column(name)) for name in names]
                yield Batch(range(number, number + part.num_rows), columns, partial(_raw, part))
                number += part.num_rows
                if progress:
                    progress.update(size_bytes * (number - 1) // max(total, 1), size_bytes, "reading")
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _cells(column: pa.Array) -> list[str]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64(), safe=False)
        return ["" if value is None else _instant(value) for value in column.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [(value or "").strip() for value in column.to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return [value or "" for value in column.cast(pa.string()).to_pylist()]
    return [cell(_plain(value)) for value in column.to_pylist()]


def _instant(microseconds: int) -> str:
    """A time as ISO, which has one meaning."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()


def _plain(value: object) -> object:
    """Bytes and what JSON does not know as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _raw(part: pa.RecordBatch, place: int) -> str:
    [row] = part.slice(place, 1).to_pylist()
    return "|".join(f"{name}={cell(_plain(value))}" for name, value in row.items())


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read as Parquet ({' '.join(str(error).split())[:200]}).")
