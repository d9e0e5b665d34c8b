"""What was found in a file of histories, in numbers and in sentences that a person can act on."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from core.catalog import Catalog

SHOWN = 10
"""Unknown entries that are told with their closest titles, the most frequent ones."""


@dataclass(frozen=True)
class Unknown:
    """An entry that the catalogue does not have; `closest` are its titles most like it, best first."""

    entry: str
    times: int
    closest: tuple[str, ...]


@dataclass(frozen=True)
class ReadReport:
    """A file of histories, read to its end.

    Attributes:
        file: its name.
        words: format and columns.
        rows: rows that hold anything, those that could not be used included.
        rejected: reason -> how many rows.
        lines: reason -> the first lines it concerns.
        people: in the file.
        known, unknown: entries that the catalogue has and has not, repeats included.
        repeated: entries of somebody's history that stand there twice; each is kept once.
        distinct_unknown: different unknown entries.
        most_unknown: the most frequent of them.
        without_anything: people of whom nothing is known; they get the most watched titles.
        doubts: guesses about the layout that could have gone another way.
    """

    file: str
    words: str
    rows: int
    rejected: dict[str, int]
    lines: dict[str, tuple[int, ...]]
    people: int
    known: int
    unknown: int
    repeated: int
    distinct_unknown: int
    most_unknown: tuple[Unknown, ...]
    without_anything: int
    doubts: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report for people, most important first."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        yield (
            f"{self.file}: {_count(self.rows, 'row')} read, {_count(self.people, 'person', 'people')}, "
            f"{self.known:,} of {_count(self.known + self.unknown, 'entry', 'entries')} known."
        )
        yield f"Read as {self.words}."
        if self.distinct_unknown:
            yield (
                f"Not in the catalogue and left out: {_count(self.unknown, 'entry', 'entries')}, "
                f"{self.distinct_unknown:,} different."
            )
        if self.without_anything:
            yield (
                f"Nothing is known of {_count(self.without_anything, 'person', 'people')}: "
                "they get the most popular items, marked so."
            )
        if self.repeated:
            yield f"{_count(self.repeated, 'entry', 'entries')} came twice in one history; kept once."
        for reason, count in self.rejected.items():
            where = ", ".join(map(str, self.lines[reason]))
            more = " …" if count > len(self.lines[reason]) else ""
            yield f"{_count(count, 'row')} cannot be used ({reason}): line {where}{more}."
        yield from self.doubts


def most_unknown(catalog: Catalog, counted: Counter[str]) -> tuple[Unknown, ...]:
    """The most frequent unknown entries with the closest titles; equal ones by their text."""
    ordered = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]
    return tuple(
        Unknown(
            entry,
            times,
            tuple(item.title for item in catalog.closest(entry[:200], 3))
            if any(map(str.isalnum, entry))
            else (),
        )
        for entry, times in ordered
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
