"""MovieLens-1M and MovieLens latest-small, from GroupLens' own archives: split `loo`.

As for MovieLens-100K, ratings of 3 and more are interactions, and titles are mended: article in front, year
behind. Ratings of one second are put in an order that favours nobody, by a hash of user and film: the small
archive is sorted by film, and that order would be a pattern to learn.

Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

import hashlib
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.assets import Progress, brought_files
from core.assets.brought import BROUGHT, MOVIELENS_1M, MOVIELENS_SMALL
from core.catalog import Catalog, Item
from core.data.dataset import Dataset
from core.data.leave_one_out import leave_one_out
from core.data.movielens import MIN_RATING
from core.data.text_file import csv_rows, lines_of, read_text
from core.errors import DataError
from core.titles import article_to_front

_YEAR_BEHIND = re.compile(r"\s*\((?P<year>\d{4})\)$")
NO_GENRES = "(no genres listed)"


@dataclass(frozen=True)
class _Rating:
    user: str
    item_id: str
    stars: float
    time: int  # seconds since 1970


@dataclass(frozen=True)
class _Film:
    item_id: str
    title: str
    genres: tuple[str, ...]


def load_movielens_1m(progress: Progress | None = None) -> Dataset:
    """MovieLens-1M as "movielens-1m": fields divided by "::", Latin-1.

    Raises:
        AssetError: the files are not there.
        DataError: the files are not what they should be.
    """
    ratings, films = brought_files(MOVIELENS_1M, progress)
    return _dataset(
        MOVIELENS_1M,
        (_Film(i, title, _genres(genres)) for _, (i, title, genres) in _double_colon(films, "movies.dat", 3)),
        (_rating(f"ratings.dat line {line}", *row) for line, row in _double_colon(ratings, "ratings.dat", 4)),
    )


def load_movielens_small(progress: Progress | None = None) -> Dataset:
    """MovieLens latest-small as "movielens-small": CSV, UTF-8; GroupLens replaces it from time to time.

    Raises:
        AssetError: the files are not there.
        DataError: the files are not what they should be.
    """
    ratings, films = brought_files(MOVIELENS_SMALL, progress)
    film_columns, rating_columns = (
        ("movieId", "title", "genres"),
        ("userId", "movieId", "rating", "timestamp"),
    )
    return _dataset(
        MOVIELENS_SMALL,
        (
            _Film(row["movieId"], row["title"], _genres(row["genres"]))
            for _, row in csv_rows(_member(films, "movies.csv"), "movies.csv", film_columns)
        ),
        (
            _rating(f"ratings.csv line {line}", *(row[column] for column in rating_columns))
            for line, row in csv_rows(_member(ratings, "ratings.csv"), "ratings.csv", rating_columns)
        ),
    )


def _dataset(name: str, films: Iterable[_Film], ratings: Iterable[_Rating]) -> Dataset:
    items = _items(films)
    index = {item.item_id: item.index for item in items}
    by_user: dict[str, list[_Rating]] = {}
    for rating in ratings:
        if rating.item_id not in index:
            raise DataError(f"{name} rates film {rating.item_id}, which its list of films does not hold.")
        if rating.stars >= MIN_RATING:
            by_user.setdefault(rating.user, []).append(rating)
    sequences = tuple(
        tuple(dict.fromkeys(index[rating.item_id] for rating in sorted(events, key=_order)))
        for events in by_user.values()
    )
    splits = {"loo": leave_one_out(sequences)}
    count = Counter(item for sequence in splits["loo"].train for item in sequence)
    catalog = Catalog(items, popularity=[count[item.index] for item in items])
    return Dataset(name, catalog, tuple(by_user), sequences, splits, BROUGHT[name].terms)


def _order(rating: _Rating) -> tuple[int, bytes]:
    return rating.time, hashlib.sha256(f"{rating.user}/{rating.item_id}".encode()).digest()


def _items(films: Iterable[_Film]) -> list[Item]:
    """Items in file order; a title that occurs again is marked with its id."""
    items: list[Item] = []
    seen: set[str] = set()
    for film in films:
        behind = _YEAR_BEHIND.search(film.title.strip())
        year = int(behind["year"]) if behind else None
        name = article_to_front(film.title.strip()[: behind.start()] if behind else film.title.strip())
        title = f"{name} ({year})" if year is not None else name
        unique = f"{title} [{film.item_id}]" if title in seen else title
        seen.add(title)
        items.append(Item(len(items), film.item_id, unique, year, film.genres))
    return items


def _genres(joined: str) -> tuple[str, ...]:
    return () if joined.strip() in ("", NO_GENRES) else tuple(joined.strip().split("|"))


def _rating(place: str, user: str, item_id: str, stars: str, time: str) -> _Rating:
    try:
        return _Rating(user, item_id, float(stars), int(time))
    except ValueError as error:
        raise DataError(f'{place} holds the rating "{stars}" at time "{time}"; both are numbers.') from error


def _double_colon(path: Path, name: str, columns: int) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of a file whose fields are divided by two colons."""
    for number, line in enumerate(lines_of(_member(path, name, "latin-1")), start=1):
        row = line.split("::")
        if len(row) != columns:
            raise DataError(f"{name} line {number} has {len(row)} fields, not {columns}.")
        yield number, row


def _member(path: Path, name: str, encoding: str = "utf-8-sig") -> str:
    """A file by itself, or the one of that name inside an archive."""
    if path.suffix != ".zip":
        return read_text(path, encoding)
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [entry for entry in archive.namelist() if entry.rpartition("/")[2] == name]
            if not inside:
                raise DataError(f"{path.name} holds no {name}; get the archive again from GroupLens.")
            return archive.read(inside[0]).decode(encoding)
    except (OSError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); get it again from GroupLens.") from error
