"""Imported data sets on disk: a folder of Parquet and JSON, checked when it is read.

`dataset.json` says what it is and holds the sha256 of the tables beside it: `users.parquet`, `items.parquet`,
`interactions.parquet` (in order), with `report.json` of the import.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.assets import cache_root
from core.assets.progress import file_sha256
from core.catalog import Catalog, Item
from core.data.dataset import Dataset
from core.data.importing.events import Events
from core.data.leave_one_out import leave_one_out
from core.domain import Domain
from core.errors import DataError

SCHEMA = 1
MANIFEST, REPORT = "dataset.json", "report.json"
USERS, ITEMS, INTERACTIONS = "users.parquet", "items.parquet", "interactions.parquet"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Kept:
    """One imported data set of the cache, without its tables.

    Attributes:
        files: names of the files that it was made from.
        size_bytes: of its folder.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    terms: str
    size_bytes: int


def imported_root() -> Path:
    """The folder of imported data sets in the cache."""
    return cache_root() / "datasets"


def dataset_of(
    name: str,
    items: Sequence[Item],
    users: Sequence[str],
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    terms: str,
    domain: Domain,
) -> Dataset:
    """Columns of interactions, by user and in order, as a data set with the split `loo`.

    Args:
        user, item: [n] positions in `users` and `items`; every user has at least one.
    """
    ends = np.flatnonzero(np.append(user[1:] != user[:-1], True)) + 1
    flat = item.tolist()
    starts = [0, *ends[:-1].tolist()]
    sequences = tuple(tuple(flat[start:end]) for start, end in zip(starts, ends.tolist(), strict=True))
    loo = leave_one_out(sequences)
    count = Counter(i for sequence in loo.train for i in sequence)
    catalog = Catalog(items, popularity=[count[i.index] for i in items])
    return Dataset(name, catalog, tuple(users), sequences, {"loo": loo}, terms, domain)


def save_dataset(dataset: Dataset, events: Events, unit: str, files: dict[str, str], folder: Path) -> None:
    """Write tables and manifest into an empty folder.

    Args:
        events: the interactions of `dataset` in its order.
        unit: of their times (see `times.unit_of`).
        files: name -> sha256 of the files it was made from.
    """
    items = dataset.catalog.items
    tables = {
        USERS: pa.table({"user_id": pa.array(dataset.users, pa.string())}),
        ITEMS: pa.table(
            {
                "item_id": pa.array([item.item_id for item in items], pa.string()),
                "title": pa.array([item.title for item in items], pa.string()),
                "year": pa.array([item.year for item in items], pa.int32()),
                "genres": pa.array([list(item.genres) for item in items], pa.list_(pa.string())),
            }
        ),
        INTERACTIONS: pa.table(
            {
                "user": pa.array(events.user, pa.int32()),
                "item": pa.array(events.item, pa.int32()),
                "time": pa.array(events.time, pa.float64(), from_pandas=True),
                "rating": pa.array(events.rating, pa.float64(), from_pandas=True),
            }
        ),
    }
    for file, table in tables.items():
        pq.write_table(table, folder / file)
    manifest = {
        "schema": SCHEMA,
        "name": dataset.name,
        "domain": asdict(dataset.domain),
        "terms": dataset.terms,
        "time_unit": unit,
        "sha256": dataset.sha256,
        "made_from": files,
        "files": {file: file_sha256(folder / file) for file in tables},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def load_imported(folder: Path) -> Dataset:
    """An imported data set by its folder.

    Raises:
        DataError: the folder is none, was changed after the import, or is of a newer version.
    """
    manifest = read_manifest(folder)
    for file, sha256 in manifest["files"].items():
        if not (folder / file).is_file() or file_sha256(folder / file) != sha256:
            raise DataError(
                f"{folder / file} is not what was imported (missing or changed); import the data set again."
            )
    table = pq.read_table(folder / ITEMS).to_pydict()
    items = [
        Item(index, item_id, title, year, tuple(genres))
        for index, (item_id, title, year, genres) in enumerate(
            zip(table["item_id"], table["title"], table["year"], table["genres"], strict=True)
        )
    ]
    rows = pq.read_table(folder / INTERACTIONS, columns=["user", "item"])
    return dataset_of(
        manifest["name"],
        items,
        pq.read_table(folder / USERS)["user_id"].to_pylist(),
        rows["user"].to_numpy().astype(np.int64),
        rows["item"].to_numpy().astype(np.int64),
        manifest["terms"],
        Domain(**manifest["domain"]),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a folder's manifest says. Raises DataError where it is none of ours."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        schema, names = manifest["schema"], set(manifest["files"])
        complete = {"name", "domain", "terms", "sha256", "made_from"} <= set(manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no imported data set; make one with `ilora data import FILE --out {folder}`."
        ) from error
    if schema != SCHEMA or not complete or names != {USERS, ITEMS, INTERACTIONS}:
        raise DataError(f"{folder} was written by another version of ilora; import the data set again.")
    return dict(manifest)


def list_imported() -> list[Kept]:
    """Every imported data set of the cache, by name."""
    kept = []
    for folder in sorted(imported_root().glob("*")):
        if not NAME.fullmatch(folder.name) or not (folder / MANIFEST).is_file():
            continue
        manifest = read_manifest(folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        kept.append(Kept(folder.name, folder, tuple(manifest["made_from"]), manifest["terms"], size))
    return kept


def folder_of(name: str) -> Path | None:
    """The folder that a recipe's `dataset:` names, of the cache or by its path; None for other names."""
    if NAME.fullmatch(name) and (imported_root() / name / MANIFEST).is_file():
        return imported_root() / name
    if "/" in name or "\\" in name or name.startswith((".", "~")):
        return Path(name).expanduser()
    return None
