"""Rows become events: user, item, time and rating as columns of numbers. What cannot be one is rejected."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from core.assets.progress import Progress
from core.data.importing.batches import ROWS_PER_BATCH, Batch
from core.data.importing.headers import Role
from core.data.importing.identifiers import (
    MISSING,
    UNUSABLE,
    Numbering,
    decimals_everywhere,
    natural,
)
from core.data.importing.numerals import numbers
from core.data.importing.rejects import (
    BAD_ID,
    BAD_RATING,
    BAD_TIME,
    NO_ITEM,
    NO_RATING,
    NO_USER,
    Rejected,
    Rejects,
)
from core.data.importing.source import Source
from core.data.importing.times import times


@dataclass(frozen=True)
class Events:
    """n interactions.

    Attributes:
        user, item: [n] int64, positions in `users` and `items`.
        time: [n] float64 in the file's own unit, NaN where there is none.
        rating: [n] float64, NaN where there is none.
        line: [n] int64, where each stands in its file.
        users, items: external ids.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: NDArray[np.float64]
    rating: NDArray[np.float64]
    line: NDArray[np.int64]
    users: tuple[str, ...] = field(repr=False)
    items: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Events":
        """Some of the events, by mask or by position; ids keep their numbers."""
        return replace(
            self,
            user=self.user[chosen],
            item=self.item[chosen],
            time=self.time[chosen],
            rating=self.rating[chosen],
            line=self.line[chosen],
        )

    @property
    def active_users(self) -> int:
        """How many users have an event."""
        return len(present(self.user))

    @property
    def active_items(self) -> int:
        """How many items have an event."""
        return len(present(self.item))


def present(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes (whole numbers from 0) that occur, in rising order."""
    return np.flatnonzero(np.bincount(codes)) if len(codes) else codes


Votes = Counter[tuple[int, str]]
"""(item, text) -> how many rows say so."""


@dataclass(frozen=True)
class Gathered:
    """A file of interactions, read to its end.

    Attributes:
        rows: rows that hold anything, the rejected ones included.
        said: what rows say of items: role (title, genres, year) -> votes.
        decimals: which ids ("user", "item") were whole numbers written as decimals.
    """

    events: Events
    rows: int
    said: dict[Role, Votes]
    decimals: tuple[Role, ...]


def gather(
    source: Source,
    rejects: Rejects,
    min_rating: float | None = None,
    progress: Progress | None = None,
    size: int = ROWS_PER_BATCH,
) -> Gathered:
    """Read a file of interactions.

    Args:
        rejects: told about every row that cannot be used.
        min_rating: whether rows need a rating; they are not filtered by it here.
        size: rows per batch; no result depends on it.

    Raises:
        DataError: the file cannot be read, or a row cannot be used and `rejects` is strict.
    """
    roles = list(source.layout.roles)
    users, items = Numbering(), Numbering()
    nothing: tuple[int, ...] = ()
    empty = np.asarray(nothing, dtype=np.int64)
    parts = [Events(empty, empty, empty.astype(float), empty.astype(float), empty, (), ())]
    said: dict[Role, Votes] = {role: Counter() for role in ("title", "genres", "year") if role in roles}
    rows = 0
    for batch in source.batches(progress, size):
        cells = dict(zip(roles, batch.columns, strict=True))
        part, bad = _columns(batch, cells, users, items, min_rating is not None, source.layout.times)
        rows += len(batch) + len(batch.bad)
        rejects.add(source.name, bad)
        parts.append(part)
        for role, votes in said.items():
            votes.update(
                (item, text) for item, text in zip(part.item.tolist(), cells[role], strict=True) if text
            )
        parts[-1] = part.take(part.user >= 0)
    return _put_together(parts, rows, users, items, said)


def _columns(
    batch: Batch,
    cells: dict[Role, list[str]],
    users: Numbering,
    items: Numbering,
    needs_rating: bool,
    spelling: str,
) -> tuple[Events, list[Rejected]]:
    """All rows of a batch as columns, bad ones with the user and the item -1; and every bad row in order."""
    n = len(batch)
    user, item = users.of(cells["user"]), items.of(cells["item"])
    nothing, fine = np.full(n, np.nan), np.zeros(n, dtype=bool)
    rating, no_number = numbers(cells["rating"]) if "rating" in cells else (nothing, fine)
    time, no_time = times(cells["time"], spelling) if "time" in cells else (nothing, fine)
    faults = (
        (user == MISSING, NO_USER, "user"),
        (item == MISSING, NO_ITEM, "item"),
        (user == UNUSABLE, BAD_ID, "user"),
        (item == UNUSABLE, BAD_ID, "item"),
        (no_number, BAD_RATING, "rating"),
        (no_time, BAD_TIME, "time"),
        (np.isnan(rating) & needs_rating, NO_RATING, ""),
    )
    bad = list(batch.bad)
    seen = np.zeros(n, dtype=bool)
    for places, reason, role in faults:
        for place in np.flatnonzero(places & ~seen).tolist():
            detail = f'"{cells[role][place][:80]}"' if role and reason not in (NO_USER, NO_ITEM) else ""
            bad.append(Rejected(batch.lines[place], reason, batch.raw(place), detail))
        seen |= places
    user[seen] = item[seen] = MISSING
    lines = np.asarray(batch.lines, dtype=np.int64)
    return Events(user, item, time, rating, lines, (), ()), sorted(bad, key=lambda row: row.line)


def _put_together(
    parts: Sequence[Events], rows: int, users: Numbering, items: Numbering, said: dict[Role, Votes]
) -> Gathered:
    votes = {role: Counter({k: n for k, n in kept.items() if k[0] >= 0}) for role, kept in said.items()}
    events = Events(
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.rating for part in parts]),
        np.concatenate([part.line for part in parts]),
        tuple(users.codes),
        tuple(items.codes),
    )
    decimals = []
    if decimals_everywhere(events.users[code] for code in present(events.user)):
        decimals.append("user")
        events = replace(events, users=tuple(name.removesuffix(".0") for name in events.users))
    if decimals_everywhere(events.items[code] for code in present(events.item)):
        decimals.append("item")
        events = replace(events, items=tuple(name.removesuffix(".0") for name in events.items))
    return Gathered(events, rows, votes, tuple(decimals))


def in_natural_order(events: Events, more_items: Sequence[str] = ()) -> Events:
    """The same events with users and items numbered in the natural order of their ids; ids without an event
    are left out, but for `more_items`, which are in whether or not anybody had them."""
    users = sorted({events.users[code] for code in present(events.user)}, key=natural)
    had = {events.items[code] for code in present(events.item)}
    items = sorted(had | set(more_items), key=natural)
    return replace(
        events,
        user=_renumbered(events.user, events.users, users),
        item=_renumbered(events.item, events.items, items),
        users=tuple(users),
        items=tuple(items),
    )


def _renumbered(codes: NDArray[np.int64], old: Sequence[str], new: Sequence[str]) -> NDArray[np.int64]:
    position = {name: place for place, name in enumerate(new)}
    table = np.fromiter((position.get(name, -1) for name in old), np.int64, len(old))
    return table[codes] if len(old) else codes
