"""Items that came after training: known by their words alone, they stand behind the catalogue's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.catalog import Catalog, Item
from core.data.importing import parquet
from core.data.importing.genres import sniff_separator
from core.data.importing.items import Described, catalogue, read_items
from core.data.importing.layout import Said
from core.data.importing.rejects import Rejects
from core.data.importing.source import open_source
from core.data.importing.text import check_kind, open_text
from core.errors import DataError

MOST = 10_000
"""New items at once: each is read by the language model while a person waits for the start."""


@dataclass(frozen=True)
class NewItem:
    """One item without a single interaction.

    Attributes:
        title: with the year behind it where it is known, as in the catalogue: "Fargo (1996)".
        item_id: of one's own; the title where there is none.
        genres: in the catalogue's words, possibly empty.
        year: where the title does not end with it.
    """

    title: str
    item_id: str = ""
    genres: tuple[str, ...] = ()
    year: int | None = None


def items_of_titles(titles: Sequence[str]) -> list[NewItem]:
    """New items of bare titles, cleaned as an import cleans them; a year behind a title is read."""
    listed = {title: Described(title=title) for title in titles}
    made, _ = catalogue(list(listed), listed.__getitem__, None)
    return [NewItem(item.title, item.title, item.genres, item.year) for item in made]


def read_new_items(path: Path) -> list[NewItem]:
    """New items of a file with a title per row, and id, genres and year where they are known.

    CSV, JSON lines or Parquet, whose layout and columns are found out as for `ilora data import --items`; or
    a plain list: a first line that says `title`, and a title in every further one.

    Raises:
        DataError: the file cannot be read, a row cannot be used, or it holds no item or too many.
    """
    listed = _listed(path)
    if not 0 < len(listed) <= MOST:
        raise DataError(
            f"{path.name} holds {len(listed):,} new items; 1 to {MOST:,} are taken at once. More are a "
            "reason to import them with what people did, and to train."
        )
    if untitled := next((name for name, item in listed.items() if not item.title), None):
        raise DataError(
            f'{path.name}: item "{untitled}" has no title, and a new item is known by nothing else.'
        )
    separator = sniff_separator(item.genres for item in listed.values())
    made, _ = catalogue(list(listed), listed.__getitem__, separator)
    return [NewItem(item.title, item.item_id, item.genres, item.year) for item in made]


def _listed(path: Path) -> dict[str, Described]:
    """id -> what the file says; where it has no ids, the title is the id."""
    if (titles := _plain_list(path)) is not None:
        return {title: Described(title=title) for title in titles}
    rejects = Rejects(None, strict=True)
    try:
        return read_items(open_source(path, Said(), items_file=True), rejects)[0]
    except DataError:
        pass  # no ids, or damaged: what is wrong with it as a file of titles is the better thing to say
    try:
        by_title = open_source(path, Said(columns={"item": "title"}), items_file=True)
    except DataError as error:
        raise DataError(
            f"{path.name} has no column of titles: head it `title`, or begin a plain list with that line."
        ) from error
    listed, _ = read_items(by_title, rejects)
    return {title: replace(item, title=title) for title, item in listed.items()}


def _plain_list(path: Path) -> list[str] | None:
    """The titles of a plain list; None for every other kind of file."""
    if check_kind(path).startswith(parquet.MAGIC):
        return None
    lines = [line.strip() for line in open_text(path).lines()]
    if not lines or lines[0].casefold() not in ("title", "titles"):
        return None
    return [
        line[1:-1].replace('""', '"') if line[:1] == line[-1:] == '"' else line for line in lines[1:] if line
    ]


def extended(catalog: Catalog, new: Sequence[NewItem]) -> Catalog:
    """The catalogue with new items behind its own: what was there keeps its index.

    Raises:
        DataError: an id or title that is there already, or twice among the new ones.
    """
    popularity = (*catalog.popularity, *(0 for _ in new))
    return Catalog((*catalog.items, *_behind(catalog, new)), popularity)


def _behind(catalog: Catalog, new: Sequence[NewItem]) -> Iterator[Item]:
    ids = {item.item_id for item in catalog.items}
    titles = {item.title for item in catalog.items}
    for index, item in enumerate(new, start=len(catalog)):
        name = item.item_id or item.title
        if item.title in titles:
            raise DataError(f'"{item.title}" is in the catalogue already (or twice among the new items).')
        if name in ids:
            raise DataError(f'The id "{name}" of "{item.title}" is taken; give the new item another one.')
        ids.add(name)
        titles.add(item.title)
        yield Item(index, name, item.title, item.year, item.genres)
