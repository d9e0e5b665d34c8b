"""Rows that cannot be used: kept with their line and the reason, never dropped in silence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from core.csv_writing import CsvWriter
from core.errors import DataError

FIRST = 5
"""So many line numbers are told for each reason."""
RAW_LENGTH = 2_000
"""Characters of a bad row that the side file shows: one damaged line may be the whole file."""

FIELDS = "wrong number of fields"
QUOTE = "a quote is opened and never closed"
ENCODING = "bytes that are no text in this encoding"
NO_OBJECT = "no JSON object"
NO_USER = "no user id"
NO_ITEM = "no item id"
BAD_ID = "an id with control characters or more than 1,000 characters"
BAD_RATING = "a rating that is no number"
NO_RATING = "no rating, where --min-rating asks for one"
BAD_TIME = "a time that cannot be read"
ITEM_AGAIN = "an item id that occurs again"


@dataclass(frozen=True)
class Rejected:
    """One row that cannot be used.

    Attributes:
        line: where it begins in its file, from 1; the row's number where a file has no lines (Parquet).
        reason: one of the constants above.
        raw: the row as it stands in the file.
        detail: what exactly, or empty.
    """

    line: int
    reason: str
    raw: str
    detail: str = ""

    @property
    def why(self) -> str:
        """Reason and detail in one."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class Dropped:
    """How many rows of one file went for one reason, and the lines of the first of them."""

    file: str
    reason: str
    rows: int
    first_lines: tuple[int, ...]


@dataclass
class Rejects:
    """Collects the bad rows of all files of an import.

    Args:
        path: the side file; it is made when the first row comes. None writes none.
        strict: stop at the first one.
    """

    path: Path | None
    strict: bool = False
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _lines: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _out: TextIO | None = None
    _writer: CsvWriter | None = None

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(self, *_: object) -> None:
        if self._out is not None:
            self._out.close()

    def add(self, file: str, rows: Sequence[Rejected]) -> None:
        """The bad rows of one batch, in the order of their lines.

        Raises:
            DataError: `strict`, and there is one.
        """
        for row in rows:
            if self.strict:
                raise DataError(
                    f"{file} line {row.line}: {row.why}. --strict stops here; mend the line, or leave "
                    "--strict out to put such rows into a side file."
                )
            key = (file, row.reason)
            self._counts[key] = self._counts.get(key, 0) + 1
            if self._counts[key] <= FIRST:
                self._lines.setdefault(key, []).append(row.line)
            self._write(file, row)

    def of(self, file: str) -> int:
        """How many rows of a file there are so far."""
        return sum(count for (name, _), count in self._counts.items() if name == file)

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Counts by file and reason, most frequent first."""
        ordered = sorted(self._counts, key=lambda key: (-self._counts[key], key))
        return tuple(Dropped(*key, self._counts[key], tuple(self._lines[key])) for key in ordered)

    def _write(self, file: str, row: Rejected) -> None:
        if self.path is None:
            return
        if self._writer is None:
            # Raw text may hold bytes of no encoding: they are spelled out.
            self._out = self.path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._writer = CsvWriter(self._out, ("file", "line", "reason", "raw"))
        raw = row.raw if len(row.raw) <= RAW_LENGTH else f"{row.raw[:RAW_LENGTH]}…"
        self._writer.write((file, row.line, row.why, raw))
