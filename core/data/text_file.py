"""Text files as people bring them: plain or gzipped, with or without a byte order mark."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import DataError


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The whole file, unpacked where its name ends in .gz. Raises DataError where it cannot be read."""
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(encoding)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again.") from error


def lines_of(text: str) -> list[str]:
    """Lines as files divide them: a title may hold signs at which `str.splitlines` would break it too."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def csv_rows(text: str, name: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV text with a header line; only the asked columns.

    Raises:
        DataError: a column is missing in the header, or a row lacks some.
    """
    try:
        yield from _csv_rows(csv.DictReader(io.StringIO(text, newline="")), name, columns)
    except csv.Error as error:
        raise DataError(f"{name} is no CSV file ({error}).") from error


def _csv_rows(
    reader: "csv.DictReader[str]", name: str, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{name} lacks the column {missing[0]}; it needs {', '.join(columns)}.")
    for row in reader:
        picked = {column: row[column] for column in columns}
        if None in picked.values():
            raise DataError(f"{name} line {reader.line_num} has fewer columns than its header.")
        yield reader.line_num, picked
