"""Times in cells: Unix time in any unit, ISO dates, and the spellings that exports use.

Inside an import a time is one float64: seconds since 1970 (UTC) for dates, the number itself for numbers,
whose unit is told at the end by their size. Orders need no unit.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.data.importing.numerals import NOTHING, numbers
from core.errors import DataError

NUMBER, ISO, ORDER = "number", "iso", "order"
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

_DAYS = (
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%m %d, %Y"),
)
PATTERNS = ("%Y%m%d", *(f"{day}{clock}" for clock in ("", " %H:%M", " %H:%M:%S") for day in _DAYS))
"""Spellings beside ISO that are tried, in this order: of 03/04/2020 the month comes first."""

_DATE_NUMBER = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?")


def sniff_times(cells: Sequence[str]) -> str:
    """How a column spells its times, by a sample of it: NUMBER, ISO or a pattern of `strptime`.

    The spelling that reads most of the sample wins; NUMBER where none reads any.
    """
    there = [cell for cell in cells if cell.lower() not in NOTHING]
    if there and all(map(_DATE_NUMBER.fullmatch, there)):
        return "%Y%m%d"
    best, most = NUMBER, 0
    for spelling in (NUMBER, ISO, *PATTERNS):
        values, _ = times(there, spelling)
        read = int(np.isfinite(values).sum())
        if read > most:
            best, most = spelling, read
        if read == len(there):
            break
    return best


def also_fits(cells: Sequence[str], spelling: str) -> str | None:
    """Another pattern that reads the whole sample to other days: 03/04/2020 may be March or April."""
    there = [cell for cell in cells if cell.lower() not in NOTHING]
    for month, day in (("%m/%d", "%d/%m"), ("%m-%d", "%d-%m")):
        if spelling.startswith(month):
            other = spelling.replace(month, day)
            return other if np.isfinite(times(there, other)[0]).all() else None
    return None


def check_spelling(said: str) -> str:
    """A person's --time-format as we use it: `s`, `ms`, `us`, `ns`, `order`, `iso` or a pattern with %.

    Raises:
        DataError: it is none of these.
    """
    if said in (*UNITS, ORDER, ISO) or ("%" in said and _strptime(["x"], said) is not None):
        return said
    raise DataError(
        f'--time-format "{said}" is none of {", ".join(UNITS)} (Unix time), order (numbers in order), iso, '
        'or a pattern such as "%d.%m.%Y %H:%M".'
    )


def times(cells: Sequence[str], spelling: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """n stripped cells -> times [n] float64, NaN where there is none, and which cannot be read [n] bool."""
    if spelling in (NUMBER, ORDER, *UNITS):
        return numbers(cells)
    if spelling == ISO:
        values = np.fromiter(map(_iso, cells), np.float64, len(cells))
    else:
        parsed = _strptime(cells, spelling)
        values = np.full(len(cells), np.nan) if parsed is None else parsed
    bad = np.isnan(values)
    bad[bad] = [cells[place].lower() not in NOTHING for place in np.flatnonzero(bad).tolist()]
    return values, bad


def unit_of(values: NDArray[np.float64], spelling: str) -> str:
    """The unit of known times: one of UNITS (dates are seconds), or ORDER where numbers are too small for
    Unix time since 1973."""
    if spelling in (ORDER, *UNITS):
        return spelling
    if spelling != NUMBER:
        return "s"
    known = np.abs(values[np.isfinite(values)])
    middle = float(np.median(known)) if len(known) else 0.0
    for unit, low in (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 1e8)):
        if middle >= low:
            return unit
    return ORDER


def units_mixed(values: NDArray[np.float64], unit: str) -> int:
    """How many known times are of another size than the unit's: seconds among milliseconds."""
    if unit not in UNITS:
        return 0
    known = np.abs(values[np.isfinite(values)]) / UNITS[unit]
    return int(np.sum((known >= 1e11) | ((known > 0) & (known < 1e7))))


def called(spelling: str, unit: str) -> str:
    """A spelling in words."""
    if spelling == ISO:
        return "ISO dates"
    if spelling not in (NUMBER, ORDER, *UNITS):
        return f"dates like {spelling}"
    return "numbers in order" if unit == ORDER else f"Unix {_UNIT_NAMES[unit]}"


def day(value: float, unit: str) -> str | None:
    """A time as YYYY-MM-DD; None where the number stands for none."""
    if unit == ORDER:
        return None
    try:
        return datetime.fromtimestamp(value / UNITS[unit], UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def _iso(cell: str) -> float:
    if not _ISO.fullmatch(cell):
        return float("nan")
    try:
        read = datetime.fromisoformat(cell.replace(" UTC", "Z").replace(" Z", "Z").replace(" +", "+"))
    except ValueError:
        return float("nan")
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _strptime(cells: Sequence[str], pattern: str) -> NDArray[np.float64] | None:
    """Seconds since 1970, NaN where a cell does not fit; None where the pattern itself is not understood."""
    try:
        read = pc.strptime(pa.array(cells, pa.string()), format=pattern, unit="s", error_is_null=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    numbered = read.cast(pa.int64()).cast(pa.float64())
    seconds: NDArray[np.float64] = numbered.to_numpy(zero_copy_only=False).copy()
    # Arrow turns 30 February into the first of March: what may have been turned is read again, strictly.
    turned = pc.and_(pc.less_equal(pc.day(read), 3), pc.match_substring_regex(pa.array(cells), "29|30|31"))
    for place in np.flatnonzero(turned.fill_null(False).to_numpy(zero_copy_only=False)).tolist():
        try:
            datetime.strptime(cells[place].strip(), pattern)
        except ValueError:
            seconds[place] = np.nan
    return seconds
