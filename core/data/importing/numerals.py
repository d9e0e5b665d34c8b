"""Numbers in cells: many at once, without letting one bad cell spoil its neighbours."""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NOTHING = frozenset({"", "nan", "null", "none", "na", "n/a", "nat", "<na>", "\\n", "-"})
"""What programs write where there is nothing, in small letters."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")  # three digits behind a comma could be thousands
_TRUTH = {"true": 1.0, "false": 0.0}


def numbers(cells: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """n stripped cells -> their numbers, NaN where there is none; and which are neither number nor empty.

    A decimal comma is read where it cannot be anything else ("4,5"); true and false are 1 and 0.

    Returns:
        values: [n] float64, NaN for an empty or a bad cell.
        bad: [n] bool.
    """
    try:
        quick: NDArray[np.float64] = pa.array(cells, pa.string()).cast(pa.float64()).to_numpy()
        if np.isfinite(quick).all():
            return quick, np.zeros(len(cells), dtype=bool)
    except pa.ArrowInvalid:
        pass  # one of them is no number: read them one by one
    values = np.fromiter(map(number, cells), np.float64, len(cells))
    bad = np.isnan(values)
    bad[bad] = [cells[place].lower() not in NOTHING for place in np.flatnonzero(bad).tolist()]
    return values, bad


def number(cell: str) -> float:
    """One stripped cell as a finite number; NaN where it is none."""
    if _NUMBER.fullmatch(cell):
        value = float(cell)
    elif _DECIMAL_COMMA.fullmatch(cell):
        value = float(cell.replace(",", "."))
    else:
        value = _TRUTH.get(cell.lower(), float("nan"))
    return value if np.isfinite(value) else float("nan")
