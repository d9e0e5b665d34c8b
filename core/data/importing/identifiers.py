"""Ids of users and items: what is one, how spreadsheets bend them, and in which order they stand."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

NO_ID = frozenset({"", "nan", "null", "none", "<na>", "\\n"})
"""What programs write where there is no id, in small letters. ("NA" may be a country's code.)"""
LONGEST_ID = 1_000
MISSING, UNUSABLE = -1, -2
"""Codes of cells that are no id."""

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_POINT_ZERO = re.compile(r"\d+\.0")


@dataclass
class Numbering:
    """Ids as they are met, each with a number of its own."""

    codes: dict[str, int] = field(default_factory=dict)

    def of(self, cells: Sequence[str]) -> NDArray[np.int64]:
        """n stripped cells -> [n] int64 codes; MISSING or UNUSABLE for what is no id."""
        found = np.fromiter(map(self.codes.get, cells, repeat(MISSING)), np.int64, len(cells))
        for place in np.flatnonzero(found < 0).tolist():
            found[place] = self._new(cells[place])
        return found

    def _new(self, cell: str) -> int:
        if cell in self.codes:
            return self.codes[cell]
        if cell.lower() in NO_ID:
            return MISSING
        if len(cell) > LONGEST_ID or _INVISIBLE.search(cell):
            return UNUSABLE
        self.codes[cell] = len(self.codes)
        return self.codes[cell]


def decimals_everywhere(ids: Iterable[str]) -> bool:
    """Whether every id ends in .0: a program took a column of whole numbers with gaps for decimals."""
    ids = list(ids)
    return bool(ids) and all(map(_POINT_ZERO.fullmatch, ids))


def natural(identifier: str) -> tuple[int, int, str]:
    """A sort key: whole numbers by size, then everything else by letter. No order of a file goes into it."""
    if identifier.isascii() and identifier.isdigit():
        return 0, int(identifier), identifier
    return 1, 0, identifier
