"""Published windows: at most ten items, padded on the right, and the item that came next.

One JSON object a line, `{"seq": [10 item ids, oldest first], "len_seq": n, "next": id}`, plain or gzipped;
the pad id is the number of items. `row`, where a file has it, is the line's number in the publishers' whole
file. The publishers' own files are pickled pandas frames with the same three columns.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalog import Item
from core.data.frame_decode import read_frame
from core.data.text_file import lines_of, read_text
from core.errors import DataError

WINDOW = 10
"""The published histories hold at most this many items."""
FIELDS = ("seq", "len_seq", "next")


@dataclass(frozen=True)
class Window:
    """One published row.

    Attributes:
        row: its number in the publishers' file.
        history: the items before the target without padding, oldest first; may be empty.
        target: the item that came next.
    """

    row: int
    history: tuple[int, ...]
    target: int

    @property
    def items(self) -> tuple[int, ...]:
        """History and target: a piece of the user's sequence."""
        return (*self.history, self.target)


def read_windows(path: Path, num_items: int) -> list[Window]:
    """Every row of a file, in file order. Raises DataError naming the line that is not a window."""
    if path.suffix == ".df":
        unit, rows = "row", read_frame(path, FIELDS)
    else:
        unit, rows = "line", list(_json_lines(path))
    return [
        _window(row, number, f"{path.name} {unit} {number + 1}", num_items) for number, row in enumerate(rows)
    ]


def read_titles(path: Path) -> list[Item]:
    """Items of `id::name` lines; ids run from 0. A name that occurs again is marked with its id.

    Raises:
        DataError: a line is not `id::name`, or the ids do not run from 0.
    """
    items: list[Item] = []
    seen: set[str] = set()
    for number, line in enumerate(lines_of(read_text(path))):
        item_id, separator, name = line.partition("::")
        if not separator or item_id.strip() != str(number):
            raise DataError(
                f'{path.name} line {number + 1} must be "{number}::title"; ids run from 0 without a gap.'
            )
        title = name.strip() or "untitled"
        unique = f"{title} [{number}]" if title in seen or not name.strip() else title
        seen.add(title)
        items.append(Item(number, str(number), unique))
    if not items:
        raise DataError(f"{path.name} holds no titles.")
    return items


def joined(windows: Iterable[Window]) -> list[tuple[int, tuple[int, ...]]]:
    """Rows in file order -> (first row, sequence) of every user, as whole as the rows allow.

    A row continues the sequence before it when it is the next row and its history is that sequence's end; any
    other row begins a new one. LastFM's training rows, one per position, become whole users again; rows drawn
    at random stay one sequence each.
    """
    sequences: list[tuple[int, tuple[int, ...]]] = []
    grown: list[int] = []
    first, last = -1, -2

    def close() -> None:
        if grown:
            sequences.append((first, tuple(grown)))

    for window in windows:
        if grown and window.row == last + 1 and list(window.history) == grown[-WINDOW:]:
            grown.append(window.target)
        else:
            close()
            first, grown = window.row, list(window.items)
        last = window.row
    close()
    return sequences


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines_of(read_text(path))):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path.name} line {number + 1} is not JSON: one object per line.") from error
        if not isinstance(row, dict) or not set(FIELDS) <= set(row):
            raise DataError(f'{path.name} line {number + 1} needs the fields "seq", "len_seq" and "next".')
        yield row


def _window(row: Mapping[str, Any], number: int, place: str, num_items: int) -> Window:
    padded, target, row_number = row["seq"], row["next"], row.get("row", number)
    if not isinstance(padded, Sequence) or len(padded) > WINDOW:
        raise DataError(f'{place}: "seq" must be a list of at most {WINDOW} item ids.')
    history = list(padded)
    while history and history[-1] == num_items:
        history.pop()
    for item in (*history, target):
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < num_items:
            raise DataError(
                f"{place} names item {item}; items are 0 to {num_items - 1}, {num_items} pads on the right."
            )
    # An empty history is published with the length 1.
    if row["len_seq"] != max(1, len(history)):
        raise DataError(f'{place}: "len_seq" is {row["len_seq"]}, but {len(history)} items are there.')
    return Window(int(row_number), tuple(history), target)
