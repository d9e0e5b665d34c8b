"""Data sets by name. Adding one is one function and one line here; people import their own."""

from collections.abc import Callable

from core.assets import Progress
from core.data.dataset import Dataset
from core.data.importing.store import folder_of, list_imported, load_imported, read_manifest
from core.data.leakage import check_no_leak
from core.data.movielens import load_movielens
from core.data.movielens_zip import load_movielens_1m, load_movielens_small
from core.data.published import load_lastfm, load_steam
from core.data.ring import DOMAIN as STOPS
from core.data.ring import World
from core.data.steam_reviews import load_steam_reviews
from core.data.union import DOMAIN as ITEMS
from core.data.union import PLUS, union
from core.domain import ARTISTS, GAMES, MOVIES, Domain
from core.errors import DataError

DATASETS: dict[str, Callable[[Progress | None], Dataset]] = {
    "movielens": load_movielens,
    "lastfm": load_lastfm,
    "steam": load_steam,
    "steam_reviews": load_steam_reviews,
    "movielens-1m": load_movielens_1m,
    "movielens-small": load_movielens_small,
}
DOMAINS: dict[str, Domain] = {"lastfm": ARTISTS, "steam": GAMES, "steam_reviews": GAMES}
"""Of those that do not hold films."""


def load_dataset(name: str, progress: Progress | None = None) -> Dataset:
    """A data set by name, fetched on first use and checked for leaks; or an imported one, by name or folder.

    Several with a plus between them are one (`core.data.union`); ring-0 to ring-100 are made up for a study
    (`core.data.ring`).

    Raises:
        DataError: no such data set, or a target stands in training.
        AssetError: its files cannot be fetched.
    """
    if name in DATASETS:
        dataset = DATASETS[name](progress)
    elif (folder := folder_of(name)) is not None:
        dataset = load_imported(folder)
    elif (world := World.named(name)) is not None:
        dataset = world.dataset()
    elif PLUS in name:
        dataset = union([load_dataset(part, progress) for part in name.split(PLUS)])
    else:
        raise _unknown(name)
    check_no_leak(dataset)
    return dataset


def domain_named(name: str) -> Domain:
    """How a data set speaks of its items, without fetching or reading it.

    Raises:
        DataError: no such data set.
    """
    if name in DATASETS:
        return DOMAINS.get(name, MOVIES)
    folder = folder_of(name)
    if folder is None and World.named(name) is not None:
        return STOPS
    if folder is None and PLUS in name:
        return ITEMS
    if folder is None:
        raise _unknown(name)
    return Domain(**read_manifest(folder)["domain"])


def name_of(name_or_folder: str) -> str:
    """What the data set that a recipe names is called: its own name where the recipe names a folder.

    Raises:
        DataError: the folder holds no imported data set.
    """
    folder = None if name_or_folder in DATASETS else folder_of(name_or_folder)
    return name_or_folder if folder is None else str(read_manifest(folder)["name"])


def _unknown(name: str) -> DataError:
    known = sorted({*DATASETS, *(kept.name for kept in list_imported())})
    return DataError(
        f'There is no data set "{name}"; there is: {", ".join(known)}. Your own comes in with '
        "`ilora data import`; one that lies elsewhere is named by its folder (./my-data)."
    )
