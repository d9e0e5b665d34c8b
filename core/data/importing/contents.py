"""Which column is what, by what stands in it: for files without a header."""

from collections.abc import Sequence

import numpy as np

from core.data.importing.headers import Role
from core.data.importing.numerals import NOTHING, numbers
from core.data.importing.times import NUMBER, sniff_times, times

MOST_STARS = 21
"""A rating scale has at most so many steps: 0 to 10 by halves."""
HIGHEST_STARS = 100.0
EARLIEST_UNIX = 1e8
"""March 1973 in seconds: smaller numbers are ids, counts or stars."""
MOSTLY = 0.9

Rows = Sequence[Sequence[str]]


def looks_like_header(rows: Rows) -> bool:
    """Whether the first row is of another kind than the others: words above numbers or dates."""
    if len(rows) < 2:
        return False
    first, rest = rows[0], rows[1:]
    for place, cell in enumerate(first):
        column = [row[place] for row in rest if row[place].lower() not in NOTHING]
        if cell.lower() in NOTHING or not column:
            continue
        if not is_measure(cell) and _share_of_measures(column) >= MOSTLY:
            return True
    return False


def events_by_content(rows: Rows) -> dict[Role, int]:
    """Roles in a file of interactions: times, user and item in front of the rest, then stars and a title."""
    if not rows:
        return {}
    columns = [[row[place] for row in rows] for place in range(len(rows[0]))]
    found: dict[Role, int] = {}
    # From the back: user and item stand in front, and their numbers may be as large as times.
    for place in reversed(range(2 if len(columns) > 2 else 0, len(columns))):
        if is_time(columns[place]):
            found["time"] = place
    rest = [place for place in range(len(columns)) if place not in found.values()]
    found |= dict(zip(("user", "item"), rest, strict=False))
    for place in rest[2:]:
        if "rating" not in found and _is_stars(columns[place]):
            found["rating"] = place
        elif "title" not in found and _is_text(columns[place]):
            found["title"] = place
        elif "genres" not in found and _is_list(columns[place]):
            found["genres"] = place
    return found


def items_by_content(rows: Rows) -> dict[Role, int]:
    """Roles in a file of items: ids that differ in front, then a title, then genres."""
    if not rows:
        return {}
    columns = [[row[place] for row in rows] for place in range(len(rows[0]))]
    differing = [place for place, cells in enumerate(columns) if len(set(cells)) >= MOSTLY * len(cells)]
    found: dict[Role, int] = {"item": differing[0] if differing else 0}
    for place, cells in enumerate(columns):
        if place in found.values() or _share_of_measures(cells) >= MOSTLY:
            continue
        if "title" not in found:
            found["title"] = place
        elif "genres" not in found and (_is_list(cells) or len(set(cells)) < MOSTLY * len(cells)):
            found["genres"] = place
    return found


def is_measure(cell: str) -> bool:
    """Whether a cell is a number or a date."""
    return _share_of_measures([cell]) == 1.0


def _share_of_measures(cells: Sequence[str]) -> float:
    """Share of cells that are numbers or dates."""
    spelling = sniff_times(cells)
    values = numbers(cells)[0] if spelling == NUMBER else times(cells, spelling)[0]
    return float(np.isfinite(values).mean()) if len(cells) else 0.0


def is_time(cells: Sequence[str]) -> bool:
    there = [cell for cell in cells if cell.lower() not in NOTHING]
    spelling = sniff_times(there)
    values, _ = times(there, spelling)
    known = values[np.isfinite(values)]
    if len(known) < MOSTLY * max(len(there), 1):
        return False
    return spelling != NUMBER or bool(np.median(known) >= EARLIEST_UNIX)


def _is_stars(cells: Sequence[str]) -> bool:
    values, bad = numbers(cells)
    known = values[np.isfinite(values)]
    return (
        not bad.any()
        and len(known) > 0
        and len(np.unique(known)) <= MOST_STARS
        and bool(np.abs(known).max() <= HIGHEST_STARS)
    )


def _is_text(cells: Sequence[str]) -> bool:
    return _share_of_measures(cells) < 1 - MOSTLY and not _is_list(cells)


def _is_list(cells: Sequence[str]) -> bool:
    return sum("|" in cell for cell in cells) > len(cells) // 4
