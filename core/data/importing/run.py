"""An import from files to a folder: every step once, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.assets.atomic import move_in, work_folder
from core.assets.progress import Progress, file_sha256
from core.data.importing.batches import ROWS_PER_BATCH
from core.data.importing.events import Gathered, gather, in_natural_order, present
from core.data.importing.filters import filtered
from core.data.importing.genres import BLANK, sniff_separator
from core.data.importing.items import Described, catalogue, describer, read_items, voted
from core.data.importing.notes import event_notes, item_notes
from core.data.importing.ordering import ordered
from core.data.importing.rejects import Rejects
from core.data.importing.report import Report, Taken, report_of, taken_of, words_for_times
from core.data.importing.source import Source, open_source
from core.data.importing.store import MANIFEST, NAME, REPORT, dataset_of, save_dataset
from core.data.importing.times import unit_of
from core.data.importing.wanted import Wanted
from core.data.leave_one_out import MIN_INTERACTIONS
from core.errors import DataError


@dataclass(frozen=True)
class _Read:
    """Both files, read to their ends."""

    source: Source
    gathered: Gathered
    listing: Source | None
    listed: dict[str, Described]
    taken: tuple[Taken, ...]
    rejects: Rejects


def import_dataset(
    wanted: Wanted,
    reserved: Sequence[str] = (),
    progress: Progress | None = None,
    dry_run: bool = False,
    size: int = ROWS_PER_BATCH,
) -> Report:
    """Make a data set of a person's files. It appears whole or not at all.

    Args:
        reserved: names that are taken by the product's own data sets.
        dry_run: find out and count, but keep nothing.
        size: rows per batch; no result depends on it.

    Raises:
        DataError: a file cannot be read or understood, too little of it can be used, or the name or folder is
            taken.
    """
    _check_place(wanted, reserved, dry_run)
    try:
        wanted.folder.parent.mkdir(parents=True, exist_ok=True)
        with work_folder(wanted.name, wanted.folder.parent) as work:
            content = work / "content"
            content.mkdir()
            read = _read(wanted, content, progress, size)
            if progress:
                progress.update(0, None, "putting in order")
            report = _make(wanted, read, content)
            if not dry_run:
                move_in(content, wanted.folder, work / "replaced")
    except OSError as error:
        raise DataError(
            f"{wanted.name} cannot be stored in {wanted.folder} ({error.strerror or error}); make room, or "
            "name another folder with --out."
        ) from error
    return report


def _check_place(wanted: Wanted, reserved: Sequence[str], dry_run: bool) -> None:
    if not NAME.fullmatch(wanted.name):
        raise DataError(
            f'"{wanted.name}" cannot be a data set\'s name; use small letters, digits and . _ - (at most '
            "64), for example --name my-books."
        )
    if wanted.name in reserved:
        raise DataError(f'"{wanted.name}" is a data set of the product; choose another --name.')
    folder = wanted.folder
    if dry_run or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder} is there and is no imported data set; choose another --out.")
    if not wanted.replace:
        raise DataError(
            f"{folder} holds a data set already; choose another --name or --out, or say --replace."
        )


def _read(wanted: Wanted, content: Path, progress: Progress | None, size: int) -> _Read:
    """Both files; bad rows go into the side file."""
    source = open_source(wanted.interactions, wanted.said)
    listing = open_source(wanted.items, wanted.said_of_items, items_file=True) if wanted.items else None
    with Rejects(content / wanted.rejected_file, wanted.rules.strict) as rejects:
        gathered = gather(source, rejects, wanted.rules.min_rating, progress, size)
        _check_enough(source, gathered.rows, rejects)
        times = words_for_times(source, gathered.events)
        sha256 = file_sha256(source.path, progress)
        taken = [taken_of(source, sha256, gathered.rows, rejects.of(source.name), times)]
        listed: dict[str, Described] = {}
        if listing:
            listed, rows = read_items(listing, rejects, progress, size)
            _check_enough(listing, rows, rejects)
            sha256 = file_sha256(listing.path, progress)
            taken.append(taken_of(listing, sha256, rows, rejects.of(listing.name)))
    return _Read(source, gathered, listing, listed, tuple(taken), rejects)


def _check_enough(source: Source, rows: int, rejects: Rejects) -> None:
    """A file of which most cannot be used was misunderstood."""
    if not rows:
        raise DataError(f"{source.name} holds a header and no row; bring a file with rows.")
    if 2 * rejects.of(source.name) > rows:
        worst = next(dropped for dropped in rejects.dropped if dropped.file == source.name)
        layout = source.layout
        columns = ", ".join(f"{layout.columns[p].name} is the {r}" for r, p in layout.roles.items())
        raise DataError(
            f"{rejects.of(source.name):,} of {rows:,} rows of {source.name} cannot be used ({worst.rows:,}: "
            f"{worst.reason}, first in line {worst.first_lines[0]}), so it was probably misunderstood as "
            f"{layout.format}, where {columns}; say what differs, for example with --delimiter, "
            "--user-column or --time-format."
        )


def _make(wanted: Wanted, read: _Read, content: Path) -> Report:
    """Filter, order and write what was read into an empty folder."""
    rules, source, listed = wanted.rules, read.source, read.listed
    from_rows, differing = voted(read.gathered)
    describe = describer(listed, from_rows)
    in_order, facts = ordered(read.gathered.events)
    titled = np.array([bool(describe(name).title) for name in in_order.items], dtype=bool)
    events, effects = filtered(in_order, rules, titled)
    had = {events.items[code] for code in present(events.item)}
    unseen = [
        name for name, item in listed.items() if name not in had and (item.title or not rules.drop_untitled)
    ]
    events = in_natural_order(events, unseen if rules.keep_unseen else ())
    events = events.take(np.argsort(events.user, kind="stable"))
    separator = wanted.genre_separator or _separator(read, from_rows)
    items, item_facts = catalogue(events.items, describe, separator, rules.articles_to_front)
    files = {taken.file: taken.sha256 for taken in read.taken}
    terms = wanted.terms or f"Imported from {' and '.join(files)}; the terms of these files apply."
    dataset = dataset_of(wanted.name, items, events.users, events.user, events.item, terms, wanted.domain)
    if not dataset.split("loo").test:
        longest = max(map(len, dataset.sequences))
        raise DataError(
            f"Nobody in {source.name} has {MIN_INTERACTIONS} interactions or more after cleaning (the "
            f"longest history has {longest}), so nobody could be trained on or asked; bring more of each "
            "user, or filter less."
        )
    unlisted = sum(name not in listed for name in had) if read.listing else 0
    unit = unit_of(read.gathered.events.time, source.layout.times)
    notes = [
        *event_notes(source.layout, read.gathered, facts, rules),
        *item_notes(dataset, item_facts, read.listing, differing, unlisted, len(unseen), rules),
    ]
    rejected_file = wanted.rejected_file if read.rejects.dropped else None
    report = report_of(dataset, events, unit, read.taken, read.rejects.dropped, rejected_file, effects, notes)
    save_dataset(dataset, events, unit, files, content)
    report.save(content / REPORT)
    return report


def _separator(read: _Read, from_rows: dict[str, Described]) -> str:
    """What divides genres, told by all of them; RecBole's sequences of tokens say it themselves."""
    for file in filter(None, (read.listing, read.source)):
        column = file.layout.column("genres")
        if column is not None and column.type == "token_seq":
            return BLANK
    told = read.listed if any(item.genres for item in read.listed.values()) else from_rows
    return sniff_separator(item.genres for item in told.values())
