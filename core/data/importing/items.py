"""Items with a title each: from a file of items, from the rows of interactions, or from the bare id."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.assets.progress import Progress
from core.catalog import Item
from core.data.importing.batches import ROWS_PER_BATCH
from core.data.importing.events import Gathered
from core.data.importing.genres import split_genres
from core.data.importing.headers import Role
from core.data.importing.identifiers import MISSING, UNUSABLE, Numbering, decimals_everywhere
from core.data.importing.rejects import BAD_ID, ITEM_AGAIN, NO_ITEM, Rejected, Rejects
from core.data.importing.source import Source
from core.titles import article_to_front

ABOUT_ITEMS: tuple[Role, ...] = ("title", "genres", "year")
LONGEST_TITLE = 300
"""Characters; longer ones are cut. A title of a page would cost the reading of every other one."""
_YEAR_BEHIND = re.compile(r"^(?P<name>.*\S)\s*\((?P<year>1[89]\d\d|20\d\d|2100)\)$", re.DOTALL)
_YEAR = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d|2100)(?!\d)")
_NO_TITLE = frozenset({"", "nan", "null", "<na>", "\\n"})
# Signs that turn the direction of everything behind them; letters of right-to-left scripts need none of them.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Described:
    """What a file says of one item, as it stands there; empty where it says nothing."""

    title: str = ""
    genres: str = ""
    year: str = ""


@dataclass(frozen=True)
class ItemFacts:
    """What was found while making a catalogue.

    Attributes:
        untitled: items whose title is their id.
        shared: titles that occurred again and were marked with their id.
        cut: titles over LONGEST_TITLE.
        cleaned: titles with control characters.
        turned: titles whose article moved to the front.
    """

    untitled: int
    shared: int
    cut: int
    cleaned: int
    turned: int


def read_items(
    source: Source, rejects: Rejects, progress: Progress | None = None, size: int = ROWS_PER_BATCH
) -> tuple[dict[str, Described], int]:
    """A file of items -> id -> what it says, the first of several lines wins; and its rows in all.

    Raises:
        DataError: the file cannot be read, or a row cannot be used and `rejects` is strict.
    """
    roles = list(source.layout.roles)
    ids = Numbering()
    described: list[Described] = []
    rows = 0
    for batch in source.batches(progress, size):
        columns = dict(zip(roles, batch.columns, strict=True))
        known = len(ids.codes)
        bad = list(batch.bad)
        for place, code in enumerate(ids.of(columns["item"]).tolist()):
            reason = {MISSING: NO_ITEM, UNUSABLE: BAD_ID}.get(code, ITEM_AGAIN if code < known else "")
            if reason:
                detail = f'"{columns["item"][place][:80]}"' if reason != NO_ITEM else ""
                bad.append(Rejected(batch.lines[place], reason, batch.raw(place), detail))
                continue
            known = code + 1
            said = {role: columns[role][place] for role in ABOUT_ITEMS if role in columns}
            described.append(Described(**said))
        rejects.add(source.name, sorted(bad, key=lambda row: row.line))
        rows += len(batch) + len(batch.bad)
    names = list(ids.codes)
    if decimals_everywhere(names):
        names = [name.removesuffix(".0") for name in names]
    return dict(zip(names, described, strict=True)), rows


def voted(gathered: Gathered) -> tuple[dict[str, Described], int]:
    """What the rows of interactions say of items: the most frequent text of each, by letter where two are
    equally frequent; and of how many items they say different titles."""
    best: dict[Role, dict[int, tuple[int, str]]] = {}
    differing = set()
    for role, votes in gathered.said.items():
        chosen = best.setdefault(role, {})
        for (item, text), count in votes.items():
            if role == "title" and item in chosen:
                differing.add(item)
            chosen[item] = min(chosen.get(item, (0, "")), (-count, text))
    described = {
        gathered.events.items[item]: Described(
            **{role: kept[item][1] for role, kept in best.items() if item in kept}
        )
        for item in {item for kept in best.values() for item in kept}
    }
    return described, len(differing)


def catalogue(
    ids: Sequence[str],
    describe: Callable[[str], Described],
    separator: str | None,
    articles_to_front: bool = True,
) -> tuple[list[Item], ItemFacts]:
    """One item per id, in that order, with unique titles.

    A title that occurs again is marked with its id; an item without one is called by its id. The year, from
    its own column or from behind the title, stands behind the title.

    Args:
        describe: id -> what is known of it.
        separator: between genres (see `genres`), None where there are none.
    """
    counts: Counter[str] = Counter()
    taken: set[str] = set()
    items = []
    for index, item_id in enumerate(ids):
        said = describe(item_id)
        title, year = _title(said, counts, articles_to_front)
        if not title:
            counts["untitled"] += 1
            title, year = item_id, None
        elif title in taken:
            counts["shared"] += 1
        while title in taken:
            title = f"{title} [{item_id}]"
        taken.add(title)
        items.append(Item(index, item_id, title, year, split_genres(said.genres, separator)))
    return items, ItemFacts(*(counts[name] for name in ("untitled", "shared", "cut", "cleaned", "turned")))


def one_line(text: str) -> str:
    """Visible text: control characters, line ends and signs that turn the writing become single blanks.

    Joiners stay: emoji and several scripts are made of them.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (" " if c in _TURNS or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join("".join(kept).split())


def _title(said: Described, counts: Counter[str], articles_to_front: bool) -> tuple[str, int | None]:
    """Title with its year behind, and the year. Empty where there is no title."""
    title = one_line(said.title)
    counts["cleaned"] += title != " ".join(said.title.split())
    if title.lower() in _NO_TITLE:
        return "", None
    behind = _YEAR_BEHIND.match(title)
    if behind:
        name = behind["name"]
        year: int | None = int(behind["year"])
    else:
        column = _YEAR.search(said.year)
        name, year = title, int(column[1]) if column else None
    if articles_to_front:
        moved = article_to_front(name)
        counts["turned"] += moved != name
        name = moved
    if len(name) > LONGEST_TITLE:
        counts["cut"] += 1
        name = f"{name[: LONGEST_TITLE - 1].rstrip()}…"
    return (name, None) if year is None else (f"{name} ({year})", year)


def describer(
    listed: Mapping[str, Described], from_rows: Mapping[str, Described]
) -> Callable[[str], Described]:
    """id -> what the file of items says, with its gaps filled from the rows of interactions."""
    nothing = Described()

    def describe(item_id: str) -> Described:
        first, second = listed.get(item_id, nothing), from_rows.get(item_id, nothing)
        title = first.title if first.title.lower() not in _NO_TITLE else second.title
        return Described(title, first.genres or second.genres, first.year or second.year)

    return describe
