"""How a file of histories is laid out: one row per person with a list, or one row per interaction."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.data.importing.headers import by_name
from core.data.importing.layout import NO_COLUMN, Said
from core.data.importing.source import Source, open_source

LIST_NAMES = frozenset(
    {"history", "histories", "sequence", "seq", "list", "watched", "played", "read", "bought"}
    | {"items", "itemids", "movies", "movieids", "titles"}
)
"""A column of such a name holds a list, even where every list has one entry."""
SAMPLE = 500
_ALL_NUMBERS = re.compile(r"\d+(?:[,\s]+\d+)+")


@dataclass(frozen=True)
class HistoryFile:
    """A file of histories that is understood.

    Attributes:
        listed: one row per person with a list of items; else one row per interaction.
    """

    source: Source
    listed: bool

    @property
    def words(self) -> str:
        """Format and columns for people."""
        layout = self.source.layout
        used = ", ".join(
            f"{role} from “{layout.columns[place].name}”"
            for role, place in layout.roles.items()
            if role in ("user", "item", "time")
        )
        kind = "one row per person" if self.listed else "one row per interaction"
        return f"{layout.format}; {kind}; {used}"


def open_histories(path: Path, said: Said | None = None) -> HistoryFile:
    """Find out what a file of histories is: CSV and its relatives, JSON lines or Parquet.

    Args:
        said: what is known beforehand; found out when left out.

    Raises:
        DataError: it cannot be read, or its columns for user and item cannot be told.
    """
    said = said or Said()
    # Read once with both roles on the first column, which is always there, to learn what the columns are.
    probe = open_source(path, replace(said, columns={"user": "1", "item": "1"}))
    names = [column.name for column in probe.layout.columns]
    found = by_name(probe.layout.columns, items_file=False)
    lists = next((name for name in names if _letters(name) in LIST_NAMES), None)
    columns: dict[str, str] = dict(said.columns)
    if "item" not in columns:
        if lists is not None:
            columns |= {"item": lists, "time": NO_COLUMN}
        elif "item" not in found and "title" in found:
            columns["item"] = names[found["title"]]
    if "user" not in columns and "user" not in found and "item" in columns and len(names) == 2:
        columns["user"] = next(name for name in names if name != columns["item"])
    source = open_source(path, replace(said, columns=columns))
    named = lists is not None and columns.get("item") == lists
    return HistoryFile(source, named or _looks_listed(source))


def entries_of(cell: str) -> list[str]:
    """The entries of a cell that holds a list: JSON, or divided by bars or semicolons, or numbers alone.

    A comma divides numbers only: "Usual Suspects, The" is one title.
    """
    if cell.startswith("["):
        try:
            held = json.loads(cell)
        except (ValueError, RecursionError):
            held = None
        if isinstance(held, list):
            return [str(entry).strip() for entry in held if str(entry).strip()]
    if "|" in cell or ";" in cell:
        parts = cell.split("|" if "|" in cell else ";")
    else:
        parts = re.split(r"[,\s]+", cell) if _ALL_NUMBERS.fullmatch(cell) else [cell]
    return [part.strip() for part in parts if part.strip()]


def positions(roles: Mapping[str, int]) -> dict[str, int]:
    """Role -> position of its cells in a batch."""
    return {role: place for place, role in enumerate(roles)}


def _looks_listed(source: Source) -> bool:
    batch = next(source.batches(size=SAMPLE), None)
    if batch is None or not len(batch):
        return False
    cells = batch.columns[positions(source.layout.roles)["item"]]
    return sum("|" in cell or cell.startswith("[") for cell in cells) > len(cells) / 2


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
