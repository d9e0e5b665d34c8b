"""What an import found and did: printed for people, and kept as JSON in the data set's folder."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.data.dataset import Dataset
from core.data.description import describe
from core.data.importing.events import Events
from core.data.importing.filters import Effect
from core.data.importing.rejects import Dropped
from core.data.importing.source import Source
from core.data.importing.times import ORDER, called, day, unit_of


@dataclass(frozen=True)
class Taken:
    """What one file was taken for.

    Attributes:
        file: its name.
        sha256: of its bytes.
        format: in words.
        columns: (column, role), in the order of roles.
        unused: columns that nothing was taken from.
        rows: rows that hold anything, the rejected ones included.
        rejected: how many of them could not be used.
        doubts: guesses that could have gone another way, as sentences.
    """

    file: str
    sha256: str
    format: str
    columns: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]
    rows: int
    rejected: int
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """An import in numbers. Every row of the interactions is accounted for: `rows` of the first file =
    its `rejected` + what `effects` dropped + `interactions`.

    Attributes:
        name: of the data set.
        taken: the file of interactions, then the file of items where there is one.
        rejected: bad rows by file and reason, with the lines of the first of them.
        rejected_file: name of the side file that holds all of them, in the folder; None without one.
        effects: what each rule cost, in the order in which they were applied.
        notes: what else a person should know, as sentences.
        density: interactions / (users x items).
        median_length: of the users' sequences.
        lengths: (bin, users), bins by length of the sequence.
        asked: users of the `loo` split: those with enough interactions to be trained on and asked.
        first_day, last_day: YYYY-MM-DD of the first and last kept interaction; None where times are no dates.
        sha256: the data set's content hash.
    """

    name: str
    taken: tuple[Taken, ...]
    rejected: tuple[Dropped, ...]
    rejected_file: str | None
    effects: tuple[Effect, ...]
    notes: tuple[str, ...]
    users: int
    items: int
    interactions: int
    density: float
    median_length: float
    lengths: tuple[tuple[str, int], ...]
    asked: int
    first_day: str | None
    last_day: str | None
    sha256: str

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")


def taken_of(source: Source, sha256: str, rows: int, rejected: int, times: str = "") -> Taken:
    """A file and its layout as the report shows them; `times` are the words for the unit of times."""
    roles = source.layout.roles
    columns = tuple(
        (source.layout.columns[place].name, f"time ({times})" if role == "time" else role)
        for role, place in roles.items()
    )
    return Taken(
        source.name,
        sha256,
        source.layout.format,
        columns,
        source.layout.unused,
        rows,
        rejected,
        source.layout.doubts,
    )


def words_for_times(source: Source, events: Events) -> str:
    """How the times of a file are spelled, their unit told by all of them."""
    spelling = source.layout.times
    return called(spelling, unit_of(events.time, spelling))


def report_of(
    dataset: Dataset,
    events: Events,
    unit: str,
    taken: Sequence[Taken],
    rejected: Sequence[Dropped],
    rejected_file: str | None,
    effects: Sequence[Effect],
    notes: Sequence[str],
) -> Report:
    """Put together what is known, with the kept `events` and the unit of their times for the span of time."""
    counted = describe(dataset)
    known = events.time[np.isfinite(events.time)]
    span = (float(known.min()), float(known.max())) if len(known) and unit != ORDER else None
    return Report(
        name=dataset.name,
        taken=tuple(taken),
        rejected=tuple(rejected),
        rejected_file=rejected_file,
        effects=tuple(effects),
        notes=tuple(notes),
        users=counted.users,
        items=counted.items,
        interactions=counted.interactions,
        density=counted.density,
        median_length=counted.median_length,
        lengths=counted.lengths,
        asked=len(dataset.split("loo").test),
        first_day=day(span[0], unit) if span else None,
        last_day=day(span[1], unit) if span else None,
        sha256=counted.sha256,
    )
