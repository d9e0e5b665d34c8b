"""CSV files that people will open in a spreadsheet: every writer of one goes through here.

A spreadsheet runs a cell that begins like a formula, and data of strangers may begin like one. Such text gets
an apostrophe in front, which spreadsheets show as plain text; numbers of our own are no text and stay so.
"""

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Signs at which a spreadsheet begins to calculate, or which it skips before it does."""

Cell = str | int | float | None


class CsvWriter:
    """Rows with a header, formulas disarmed.

    Args:
        out: opened with `newline=""`.
        header: names of the columns; their number is that of every row.
    """

    def __init__(self, out: TextIO, header: Sequence[str]) -> None:
        # With another line end (RFC 4180 has this one) csv would leave a lone \r in a cell unquoted.
        self._writer = csv.writer(out, lineterminator="\r\n")
        self._width = len(header)
        self.write(header)

    def write(self, row: Sequence[Cell]) -> None:
        """One row. Raises ValueError where it has another number of cells than the header."""
        if len(row) != self._width:
            raise ValueError(f"{len(row)} cells for {self._width} columns")
        self._writer.writerow([disarmed(cell) for cell in row])

    def write_all(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Every row."""
        for row in rows:
            self.write(row)


def disarmed(cell: Cell) -> Cell:
    """Text that begins like a formula with an apostrophe in front; everything else as it is."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell
