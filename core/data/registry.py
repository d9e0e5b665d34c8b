"""Data sets by name. Adding one is one function and one line here."""

from collections.abc import Callable

from core.assets import Progress
from core.data.dataset import Dataset
from core.data.leakage import check_no_leak
from core.data.movielens import load_movielens
from core.data.movielens_zip import load_movielens_1m, load_movielens_small
from core.data.published import load_lastfm, load_steam
from core.data.steam_reviews import load_steam_reviews
from core.errors import DataError

DATASETS: dict[str, Callable[[Progress | None], Dataset]] = {
    "movielens": load_movielens,
    "lastfm": load_lastfm,
    "steam": load_steam,
    "steam_reviews": load_steam_reviews,
    "movielens-1m": load_movielens_1m,
    "movielens-small": load_movielens_small,
}


def load_dataset(name: str, progress: Progress | None = None) -> Dataset:
    """A data set by name, fetched on first use and checked for leaks.

    Raises:
        DataError: no such data set, or a target stands in training.
        AssetError: its files cannot be fetched.
    """
    if name not in DATASETS:
        raise DataError(f'There is no data set "{name}"; there is: {", ".join(sorted(DATASETS))}.')
    dataset = DATASETS[name](progress)
    check_no_leak(dataset)
    return dataset
