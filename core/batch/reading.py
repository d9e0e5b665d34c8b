"""A file of histories into people: ids or titles become dense indices, and what is unknown is counted."""

from collections import Counter
from pathlib import Path

import numpy as np

from core.assets.progress import Progress
from core.batch.layout import HistoryFile, entries_of, open_histories, positions
from core.batch.people import People
from core.batch.report import ReadReport, most_unknown
from core.catalog import Catalog
from core.data.importing.batches import ROWS_PER_BATCH
from core.data.importing.events import gather
from core.data.importing.layout import Said
from core.data.importing.ordering import ordered
from core.data.importing.rejects import NO_USER, Rejected, Rejects
from core.errors import DataError


class _Resolver:
    """Entries to dense indices, each distinct one looked up once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen: dict[str, int | None] = {}
        self.unknown: Counter[str] = Counter()

    def look_up(self, entry: str) -> int | None:
        """The index, None (counted) where the catalogue has no such entry."""
        if entry not in self._seen:
            self._seen[entry] = self._catalog.find(entry)
        found = self._seen[entry]
        if found is None:
            self.unknown[entry] += 1
        return found

    def history(self, entries: list[str]) -> tuple[list[int], int, int]:
        """Known items, each where it first stands, how many entries are unknown, and how many repeated."""
        found = [self.look_up(entry) for entry in entries]
        known = [index for index in found if index is not None]
        kept = list(dict.fromkeys(known))
        return kept, len(found) - len(known), len(known) - len(kept)


def read_histories(
    path: Path,
    catalog: Catalog,
    said: Said | None = None,
    most: int | None = None,
    progress: Progress | None = None,
    size: int = ROWS_PER_BATCH,
) -> tuple[People, ReadReport]:
    """Read a file of histories to its end.

    Of interactions, times order a person's items where there are any, else their place in the file. An item
    that a person has twice is kept where it first stands, as everywhere in the product.

    Args:
        catalog: knows ids and titles; what it does not know is counted and left out.
        said: what is known of the file beforehand.
        most: refuse files with more people than this.
        size: rows per batch; no result depends on it.

    Raises:
        DataError: the file cannot be read, its columns cannot be told, it holds nobody, or too many people.
    """
    file = open_histories(path, said)
    resolver, rejects = _Resolver(catalog), Rejects(None)
    read = _listed if file.listed else _interactions
    users, histories, unknown, repeated, rows = read(file, resolver, rejects, most, progress, size)
    if not users:
        raise DataError(f"{path.name} holds nobody’s history: it needs a user and an item in every row.")
    people = People.of(users, histories, unknown)
    dropped = rejects.dropped
    return people, ReadReport(
        file=path.name,
        words=file.words,
        rows=rows,
        rejected={part.reason: part.rows for part in dropped},
        lines={part.reason: part.first_lines for part in dropped},
        people=len(people),
        known=len(people.items) + repeated,
        unknown=sum(unknown),
        repeated=repeated,
        distinct_unknown=len(resolver.unknown),
        most_unknown=most_unknown(catalog, resolver.unknown),
        without_anything=people.without_anything,
        doubts=file.source.layout.doubts,
    )


_Read = tuple[list[str], list[list[int]], list[int], int, int]
"""Users, their known items, how many of each one's entries are unknown; repeats in all, rows in all."""


def _listed(
    file: HistoryFile,
    resolver: _Resolver,
    rejects: Rejects,
    most: int | None,
    progress: Progress | None,
    size: int,
) -> _Read:
    """One row per person. Rows of the same person are one history, in the order of the file."""
    place = positions(file.source.layout.roles)
    entries: dict[str, list[str]] = {}
    rows = 0
    for batch in file.source.batches(progress, size):
        bad = list(batch.bad)
        for line, user, cell in zip(
            batch.lines, batch.columns[place["user"]], batch.columns[place["item"]], strict=True
        ):
            if not user:
                bad.append(Rejected(line, NO_USER, cell[:200]))
                continue
            entries.setdefault(user, []).extend(entries_of(cell))
            _check(len(entries), most)
        rows += len(batch) + len(batch.bad)
        rejects.add(file.source.name, bad)
    return _resolved(resolver, entries, rows)


def _interactions(
    file: HistoryFile,
    resolver: _Resolver,
    rejects: Rejects,
    most: int | None,
    progress: Progress | None,
    size: int,
) -> _Read:
    """One row per interaction, read as an import reads them."""
    gathered = gather(file.source, rejects, progress=progress, size=size)
    events, _ = ordered(gathered.events)
    _check(len(np.unique(events.user)), most)
    entries: dict[int, list[str]] = {}
    first: dict[int, int] = {}
    for user, item, line in zip(
        events.user.tolist(), events.item.tolist(), events.line.tolist(), strict=True
    ):
        entries.setdefault(user, []).append(events.items[item])
        first[user] = min(first.get(user, line), line)
    by_first_row = {events.users[user]: entries[user] for user in sorted(entries, key=first.__getitem__)}
    return _resolved(resolver, by_first_row, gathered.rows)


def _resolved(resolver: _Resolver, entries: dict[str, list[str]], rows: int) -> _Read:
    read = [resolver.history(own) for own in entries.values()]
    return (
        list(entries),
        [known for known, _, _ in read],
        [missed for _, missed, _ in read],
        sum(again for _, _, again in read),
        rows,
    )


def _check(people: int, most: int | None) -> None:
    if most is not None and people > most:
        raise DataError(
            f"The file holds more than {most:,} people: take a part of it here, or `ilora batch` for all."
        )
