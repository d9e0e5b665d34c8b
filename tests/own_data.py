"""Somebody's own CSV, and a workspace to take it from file to bundle in: tiny, but real."""

import csv
import os
from pathlib import Path

from core.assets import cache_root
from core.data.dataset import Dataset

QUICK = (
    "model.text_components=16",
    "encoder.max_epochs=1",
    "encoder.width=32",
    "encoder.layers=1",
    "encoder.max_length=20",
    "optimizer.batch_size=8",
    "optimizer.micro_batch=8",
    "run.max_steps=2",
    "run.validation_users=20",
    "run.threads=1",
)
"""`--set` values with which a run takes a second."""


def own_cache(folder: Path) -> Path:
    """A cache of one's own that shares what was fetched with the user's: imports must not land there."""
    folder.mkdir()
    for kept in ("assets", "backbones", "candidates", "prepared"):
        shared = cache_root() / kept
        shared.mkdir(parents=True, exist_ok=True)  # a new machine has not filled it yet
        os.symlink(shared, folder / kept)
    return folder


def write_interactions(dataset: Dataset, path: Path, users: range, more: int = 0, items: int = 200) -> int:
    """MovieLens as somebody's export: customer, sku, title and time, popular films only. Returns the rows.

    Args:
        users: these users' rows.
        more: so many less popular films came later: what people watched of these stands behind the rest.
        items: how many films the shop began with.
    """
    popular = sorted(range(dataset.num_items), key=lambda i: (-dataset.catalog.popularity[i], i))
    first, later = frozenset(popular[:items]), frozenset(popular[items : items + more])
    rows = []
    for user in users:
        watched = dataset.sequences[user]
        had = [*[i for i in watched if i in first][:20], *[i for i in watched if i in later][:10]]
        rows += [
            (f"u{user}", f"i{item}", dataset.catalog[item].title, 1_000_000_000 + 60 * place)
            for place, item in enumerate(had)
        ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("customer", "sku", "product title", "bought at"))
        writer.writerows(rows)
    return len(rows)


def set_(*values: str) -> list[str]:
    """`--set` once per value."""
    return [word for value in values for word in ("--set", value)]
