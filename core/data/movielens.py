"""MovieLens-100K: ratings of 3 and more as sequences, clean titles, and the splits `paper` and `loo`.

Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from core.assets import MOVIELENS, Progress, asset, fetch
from core.catalog import Catalog, Item
from core.data.dataset import Case, Dataset, Split
from core.data.introsort import introsort_argsort
from core.data.leave_one_out import leave_one_out
from core.errors import DataError
from core.titles import article_to_front

MIN_RATING = 3
"""Ratings below this are not interactions (the papers' rule)."""

_SLIP = "unkonwn"  # how the packaged file spells "unknown"
_YEAR_IN_TITLE = re.compile(r" \((?P<year>\d{4})\)$")


class _Rating(NamedTuple):
    user: str
    item: int  # dense index = MovieLens id - 1
    stars: int
    time: int  # seconds since 1970


def load_movielens(progress: Progress | None = None) -> Dataset:
    """MovieLens-100K as a :class:`Dataset` named "movielens", fetched on first use.

    Sequences are ordered by timestamp; events of the same second stay in file order. The file is shuffled, so
    that rule favours nobody (by item id would be a pattern that a model can learn).

    Raises:
        AssetError: the files cannot be fetched.
        DataError: the files are not what they should be.
    """
    return _read(fetch(MOVIELENS, progress))


@lru_cache(maxsize=1)
def _read(folder: Path) -> Dataset:
    """The files of a folder, which are known by their hash and read once: a data set never changes."""
    items = _read_items(folder / "ml-100k.item")
    everything = _read_ratings(folder / "ml-100k.inter", num_items=len(items))
    ratings = [rating for rating in everything if rating.stars >= MIN_RATING]
    users = tuple(sorted({rating.user for rating in ratings}, key=int))
    index = {user: position for position, user in enumerate(users)}
    ordered = _ordered(ratings, _stable_argsort)
    sequences = tuple(tuple(r.item for r in ordered[user]) for user in users)
    # The publishers read the first data line as a header, so their split lacks it.
    published = _paper_split([r for r in everything[1:] if r.stars >= MIN_RATING], index)
    splits = {"loo": leave_one_out(sequences), "paper": published}
    watched = Counter(item for sequence in splits["loo"].train for item in sequence)
    catalog = Catalog(items, popularity=[watched[item.index] for item in items])
    return Dataset("movielens", catalog, users, sequences, splits, asset(MOVIELENS).terms)


def _paper_split(ratings: Sequence[_Rating], index: dict[str, int]) -> Split:
    """The first 80 % of the users, by the time of their first event, train; 10 % validate; 10 % test."""
    ordered = _ordered(ratings, introsort_argsort)  # users in the order of their first line in the file
    by_start = sorted(ordered, key=lambda user: ordered[user][0].time)
    n = len(by_start)
    training, validating = set(by_start[: int(0.8 * n)]), set(by_start[int(0.8 * n) : int(0.9 * n)])
    sequences = {user: tuple(r.item for r in events) for user, events in ordered.items()}
    train_users = [user for user in ordered if user in training]

    def cases(keep: Callable[[str], bool]) -> tuple[Case, ...]:
        return tuple(
            Case(index[user], sequence[:-1], sequence[-1])
            for user, sequence in sequences.items()
            if keep(user)
        )

    return Split(
        name="paper",
        train=tuple(sequences[user] for user in train_users),
        train_users=tuple(index[user] for user in train_users),
        validation=cases(lambda user: user in validating),
        test=cases(lambda user: user not in training and user not in validating),
        disjoint_users=True,
    )


def _ordered(
    ratings: Sequence[_Rating], argsort: Callable[[Sequence[int]], list[int]]
) -> dict[str, list[_Rating]]:
    """Every user's ratings by time; users in the order in which they first appear."""
    by_user: dict[str, list[_Rating]] = {}
    for rating in ratings:
        by_user.setdefault(rating.user, []).append(rating)
    return {user: [events[i] for i in argsort([r.time for r in events])] for user, events in by_user.items()}


def _stable_argsort(keys: Sequence[int]) -> list[int]:
    return sorted(range(len(keys)), key=keys.__getitem__)


def _read_ratings(path: Path, num_items: int) -> list[_Rating]:
    """Every rating in file order."""
    ratings = [
        _Rating(user, int(item) - 1, int(stars), int(time))
        for user, item, stars, time in _read_table(path, columns=4)
    ]
    for rating in ratings:
        if not 0 <= rating.item < num_items:
            raise DataError(
                f"{path.name} rates item {rating.item + 1}, but the catalogue has items 1 to {num_items}."
            )
    return ratings


def _read_items(path: Path) -> list[Item]:
    """Items with the article in front, the year behind, and no title twice."""
    rows = [
        (item_id, *_title_and_year(title, year), genres)
        for item_id, title, year, genres in _read_table(path, 4)
    ]
    seen: Counter[str] = Counter()
    items = []
    for index, (item_id, name, year, genres) in enumerate(rows):
        if item_id != str(index + 1):
            raise DataError(f"{path.name} has item {item_id} in row {index + 1}; ids must run from 1.")
        title = name if year is None else f"{name} ({year})"
        seen[title] += 1
        # MovieLens holds 18 films twice under two ids; the later one is marked with its id.
        unique = title if seen[title] == 1 else f"{title} [{item_id}]"
        items.append(Item(index, item_id, unique, year, tuple(g for g in genres.split() if g != "unknown")))
    return items


def _title_and_year(title: str, year: str) -> tuple[str, int | None]:
    """The two columns, mended: article in front; a year left in the title; the item without either."""
    if title == _SLIP:
        return "unknown", None
    inside = _YEAR_IN_TITLE.search(title)
    if inside:  # "Land Before Time III: ... (1995)", whose year column holds "V" for video
        title, year = title[: inside.start()], inside["year"]
    return article_to_front(title), int(year)


def _read_table(path: Path, columns: int) -> Iterable[list[str]]:
    """Rows of a tab-separated file with one header line. Raises DataError for a row of another width."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = line.split("\t")
        if len(row) != columns:
            raise DataError(f"{path.name} line {number + 1} has {len(row)} columns, not {columns}.")
        if number:
            yield row
