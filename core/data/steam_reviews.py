"""Reviews that Australian Steam users wrote until 2015, as sequences of games by date: split `loo`.

A review is an interaction whether it recommends the game or not. Reviews without a date or without a title
are left out. Dates are days: reviews of one day stay in the order of the file, which gives no finer time. A
game reviewed again counts once, at its first date. The catalogue is the games that are left.

Pathak, Gupta and McAuley, "Generating and Personalizing Bundle Recommendations on Steam", SIGIR 2017.
"""

from collections import Counter
from datetime import date
from pathlib import Path

from core.assets import Progress, brought_files
from core.assets.brought import BROUGHT, STEAM_REVIEWS
from core.catalog import Catalog, Item
from core.data.dataset import Dataset
from core.data.leave_one_out import leave_one_out
from core.data.text_file import csv_rows, read_text
from core.domain import GAMES
from core.errors import DataError


def load_steam_reviews(progress: Progress | None = None) -> Dataset:
    """The data set "steam_reviews"; item ids are Steam's, users those of the file.

    Raises:
        AssetError: the files are not there.
        DataError: the files are not what they should be.
    """
    reviews, titles = brought_files(STEAM_REVIEWS, progress)
    named = _read_titles(titles)
    by_user = _read_reviews(reviews, named)
    reviewed = {item_id for dated in by_user.values() for item_id in dated}
    items = _items({item_id: title for item_id, title in named.items() if item_id in reviewed})
    index = {item.item_id: item.index for item in items}
    sequences = tuple(
        tuple(index[item_id] for item_id, _ in sorted(dated.items(), key=lambda review: review[1]))
        for dated in by_user.values()
    )
    splits = {"loo": leave_one_out(sequences)}
    count = Counter(item for sequence in splits["loo"].train for item in sequence)
    catalog = Catalog(items, popularity=[count[item.index] for item in items])
    return Dataset(
        STEAM_REVIEWS, catalog, tuple(by_user), sequences, splits, BROUGHT[STEAM_REVIEWS].terms, GAMES
    )


def _read_titles(path: Path) -> dict[str, str]:
    """Item id -> title, in file order, for items that have one."""
    titles: dict[str, str] = {}
    for line, row in csv_rows(read_text(path), path.name, ("item_id", "title")):
        item_id, title = row["item_id"].strip(), row["title"].strip()
        if not item_id or item_id in titles:
            raise DataError(
                f'{path.name} line {line} has the item_id "{item_id}"; ids must be there, once each.'
            )
        if title:
            titles[item_id] = title
    return titles


def _read_reviews(path: Path, titles: dict[str, str]) -> dict[str, dict[str, date]]:
    """User -> {item id: first date}, both in file order, of dated reviews of titled games."""
    by_user: dict[str, dict[str, date]] = {}
    for line, row in csv_rows(read_text(path), path.name, ("user", "item_id", "posted")):
        user, item_id, posted = row["user"].strip(), row["item_id"].strip(), row["posted"].strip()
        if not user:
            raise DataError(f"{path.name} line {line} names no user.")
        if not posted or item_id not in titles:
            continue
        try:
            day = date.fromisoformat(posted)
        except ValueError as error:
            raise DataError(f'{path.name} line {line} is dated "{posted}"; dates are YYYY-MM-DD.') from error
        dated = by_user.setdefault(user, {})
        dated[item_id] = min(day, dated.get(item_id, day))
    return by_user


def _items(titles: dict[str, str]) -> list[Item]:
    """Items in the order of the titles' file; a title that occurs again is marked with its id."""
    seen: set[str] = set()
    items = []
    for index, (item_id, title) in enumerate(titles.items()):
        items.append(Item(index, item_id, f"{title} [{item_id}]" if title in seen else title))
        seen.add(title)
    return items
