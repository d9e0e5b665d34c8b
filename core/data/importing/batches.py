"""What every reader hands on: a batch of rows as plain stripped cells, beside the rows that are none."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from core.data.importing.rejects import Rejected

ROWS_PER_BATCH = 10_000
"""Small enough to stay in a processor's cache: larger batches are slower."""


@dataclass(frozen=True)
class Batch:
    """n rows.

    Attributes:
        lines: [n] where each begins in its file, from 1, rising.
        columns: one list [n] of stripped cells for every asked column, in that order.
        raw: position in the batch -> the row as it stands in the file.
        bad: rows that could not even be divided into cells.
    """

    lines: Sequence[int]
    columns: Sequence[list[str]]
    raw: Callable[[int], str]
    bad: tuple[Rejected, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The same cells row by row."""
        return list(zip(*self.columns, strict=True))


def stripped(cells: Iterable[str]) -> list[str]:
    """Cells without blanks around them."""
    return list(map(str.strip, cells))
