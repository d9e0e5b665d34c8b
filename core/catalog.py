"""The catalogue: N items, how they are named, and how a person finds one by typing."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from core.errors import DataError, UnknownItem
from core.titles import fold, spellings

FUZZY_CUTOFF = 74.0
"""Below this similarity (0-100) titles share little but letters; search shows nothing instead."""
FUZZY_SHORTEST = 4
"""With fewer letters typed, everything is similar to everything: only literal matches then."""


@dataclass(frozen=True)
class Item:
    """One thing that can be recommended.

    Attributes:
        index: dense index, 0 .. N-1; what models see.
        item_id: the data set's own id; what files and people's lists hold.
        title: unique in the catalogue, with the year where one is known: "Fargo (1996)".
        year: year of release, or None.
        genres: as the data set names them, possibly empty.
    """

    index: int
    item_id: str
    title: str
    year: int | None = None
    genres: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The title without its year: "Fargo"."""
        return self.title.split(f" ({self.year})")[0] if self.year is not None else self.title


class Catalog:
    """N items with stable external ids and unique titles.

    Args:
        items: in the order of their indices.
        popularity: N counts that order equally good search results; without them the shortest comes first.

    Raises:
        DataError: an index is out of order, or an id or title is empty or occurs twice.
    """

    def __init__(self, items: Iterable[Item], popularity: Sequence[int] | None = None) -> None:
        self.items: tuple[Item, ...] = tuple(items)
        self._popularity = tuple(popularity) if popularity is not None else (0,) * len(self.items)
        if len(self._popularity) != len(self.items):
            raise DataError(
                f"{len(self._popularity)} popularity counts were given for {len(self.items)} items."
            )
        for position, item in enumerate(self.items):
            if item.index != position:
                raise DataError(
                    f'Item "{item.title}" has index {item.index} at position {position}; they must agree.'
                )
        self._by_id = _unique("id", [item.item_id for item in self.items])
        self._by_title = _unique("title", [item.title for item in self.items])
        # Two ways to write a title: folded, then looser spellings (without the year, article behind, ...).
        self._folded = [fold(item.title) for item in self.items]
        self._by_folded: dict[str, list[int]] = defaultdict(list)
        self._by_spelling: dict[str, list[int]] = defaultdict(list)
        for item, folded in zip(self.items, self._folded, strict=True):
            self._by_folded[folded].append(item.index)
            if item.year is not None and not item.title.endswith(f"({item.year})"):
                continue  # a marked twin ("Chasing Amy (1997) [268]") is found by its full title or id only
            for spelling in spellings(item.name, item.year):
                self._by_spelling[spelling].append(item.index)
        self._names = [fold(item.name) for item in self.items]
        self._words = [f" {folded} " for folded in self._folded]
        # Where a title can be entered: "usual suspects" enters "the usual suspects" at its second word.
        self._entries = [
            (index, " ".join(words[start:]))
            for index, words in enumerate(name.split() for name in self._names)
            for start in range(len(words))
        ]

    @property
    def popularity(self) -> tuple[int, ...]:
        """The N counts that order search results; all 0 where none were given."""
        return self._popularity

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]

    def index_of(self, id_or_title: str) -> int:
        """The dense index of an item id or title.

        An exact id wins (MovieLens has both an item 187 and the film "187 (1997)"), then the exact title,
        then the title without regard to case, accents, punctuation, place of the article, or year, where only
        one item fits.

        Raises:
            UnknownItem: nothing fits, or more than one item does; carries the three closest titles.
        """
        found = self._named(id_or_title)
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownItem(id_or_title, [self.items[i].title for i in found[:3]])
        raise UnknownItem(id_or_title, [item.title for item in self.closest(id_or_title.strip(), 3)])

    def find(self, id_or_title: str) -> int | None:
        """As :meth:`index_of`, but None for a miss: suggestions take thousands of times longer."""
        found = self._named(id_or_title)
        return found[0] if len(found) == 1 else None

    def _named(self, id_or_title: str) -> list[int]:
        """The items that an id or title can mean: one, none, or several that it fits equally well."""
        query = id_or_title.strip()
        for exact in (self._by_id, self._by_title):
            if query in exact:
                return [exact[query]]
        folded = fold(query)
        for loose in (self._by_folded, self._by_spelling):
            if found := loose.get(folded, []):
                return found
        return []

    def resolve(self, ids_or_titles: Sequence[str]) -> list[int]:
        """The dense indices of several ids or titles, in order. Raises UnknownItem for the first miss."""
        return [self.index_of(entry) for entry in ids_or_titles]

    def search(self, query: str, limit: int = 30) -> list[Item]:
        """Titles for a half-typed query, best first: the same title, whole words, begun words, then fuzzy.

        Accents, case and the year do not matter; an empty query finds nothing. An exact item id is found too.
        """
        folded = fold(query) if query.strip() else ""
        if not folded or limit < 1:
            return []
        found = self._literal(folded)
        by_id = self._by_id.get(query.strip())
        if by_id is not None and by_id not in found:
            found.append(by_id)
        if len(found) < limit and len(folded) >= FUZZY_SHORTEST:
            seen = set(found)
            found += [index for index in self._fuzzy(folded, limit, FUZZY_CUTOFF) if index not in seen]
        return [self.items[index] for index in found[:limit]]

    def closest(self, query: str, limit: int = 3) -> list[Item]:
        """The titles most like `query`, however little that is ("did you mean"); none for an empty query."""
        found = self.search(query, limit)
        if len(found) < limit and query.strip():
            seen = {item.index for item in found}
            found += [self.items[i] for i in self._fuzzy(fold(query), limit, 0.0) if i not in seen]
        return found[:limit]

    def _literal(self, folded: str) -> list[int]:
        """Indices of titles in which every typed word begins a word, by how well they fit."""
        words = [f" {word}" for word in folded.split()]
        ranked: list[tuple[int, int, int, int]] = []
        for index, text in enumerate(self._words):
            if not all(word in text for word in words):
                continue
            name = self._names[index]
            if folded in (name, self._folded[index]):
                level = 0
            elif text.startswith(f" {folded} "):
                level = 1  # whole words at the beginning: "star" in "Star Wars" before "Stargate"
            elif text.startswith(f" {folded}"):
                level = 2
            else:
                level = 3 if f" {folded}" in text else 4
            ranked.append((level, -self._popularity[index], len(name), index))
        return [index for *_, index in sorted(ranked)]

    def _fuzzy(self, folded: str, limit: int, cutoff: float) -> list[int]:
        """Indices of titles of which some part, entered at a word, resembles `folded`; most alike first."""
        length = len(folded)
        parts = [entry[:length] for _, entry in self._entries]
        # Several entries of one title may fit, hence more hits than asked for.
        hits = process.extract(folded, parts, scorer=fuzz.ratio, limit=4 * limit, score_cutoff=cutoff)
        best: dict[int, float] = {}
        for _, similarity, position in hits:
            index = self._entries[position][0]
            best[index] = max(similarity, best.get(index, 0.0))
        by_fit = sorted(best, key=lambda i: (-best[i], -self._popularity[i], len(self._names[i]), i))
        return by_fit[:limit]


def _unique(what: str, keys: Sequence[str]) -> dict[str, int]:
    """keys -> {key: position}. Raises DataError for an empty or repeated key."""
    positions: dict[str, int] = {}
    for position, key in enumerate(keys):
        if not key.strip():
            raise DataError(f"Item {position} has an empty {what}; every item needs one.")
        if key in positions:
            raise DataError(f'The {what} "{key}" occurs twice (items {positions[key]} and {position}).')
        positions[key] = position
    return positions
