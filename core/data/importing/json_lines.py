"""JSON lines (one object per line) into rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from core.data.importing.batches import ROWS_PER_BATCH, Batch
from core.data.importing.rejects import ENCODING, NO_OBJECT, Rejected
from core.data.importing.text import LONE_SURROGATE


def keys_of(lines: Iterable[str]) -> tuple[str, ...]:
    """The keys of all objects of a sample, in the order in which they first appear."""
    keys: dict[str, None] = {}
    for line in lines:
        keys |= dict.fromkeys(_object(line) or ())
    return tuple(keys)


def batches(
    lines: Iterable[str], keys: Sequence[str], size: int = ROWS_PER_BATCH, first: int = 1
) -> Iterator[Batch]:
    """Lines of a file -> batches of rows with the cells of the asked keys; a key that is missing is empty."""
    ahead = iter(lines)
    number = first
    while taken := list(islice(ahead, size)):
        yield _batch(taken, keys, number)
        number += len(taken)


def cell(value: object) -> str:
    """A JSON value as a cell: nothing is empty, lists of words are divided by bars."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "|".join(map(cell, value))
    return json.dumps(value, ensure_ascii=False)


def _batch(lines: list[str], keys: Sequence[str], number: int) -> Batch:
    numbers: list[int] = []
    rows: list[list[str]] = []
    raws: list[str] = []
    bad: list[Rejected] = []
    for place, line in enumerate(lines, start=number):
        held = _object(line)
        if held is not None:
            row = [cell(held.get(key)) for key in keys]
            # \ud83d alone is allowed in JSON, but is no letter.
            if any(LONE_SURROGATE.search(text) for text in row if not text.isascii()):
                bad.append(Rejected(place, ENCODING, line))
                continue
            rows.append(row)
            numbers.append(place)
            raws.append(line)
        elif line.strip():
            bad.append(Rejected(place, NO_OBJECT, line))
    columns = list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in keys]
    return Batch(numbers, columns, raws.__getitem__, tuple(bad))


def _object(line: str) -> dict[str, object] | None:
    try:
        held = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None
