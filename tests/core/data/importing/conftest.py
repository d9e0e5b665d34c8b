"""Files written by a test and brought in, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.data.dataset import Dataset
from core.data.importing.layout import Said
from core.data.importing.report import Report
from core.data.importing.run import import_dataset
from core.data.importing.store import load_imported
from core.data.importing.wanted import Rules, Wanted


@dataclass(frozen=True)
class Imported:
    """A finished import."""

    report: Report
    dataset: Dataset
    folder: Path

    @property
    def titles(self) -> dict[str, list[str]]:
        """User -> titles of his history, oldest first."""
        catalog = self.dataset.catalog
        return {
            user: [catalog[item].title for item in sequence]
            for user, sequence in zip(self.dataset.users, self.dataset.sequences, strict=True)
        }

    @property
    def ids(self) -> dict[str, list[str]]:
        """User -> item ids of his history, oldest first."""
        catalog = self.dataset.catalog
        return {
            user: [catalog[item].item_id for item in sequence]
            for user, sequence in zip(self.dataset.users, self.dataset.sequences, strict=True)
        }


def bring(
    folder: Path,
    content: str | bytes,
    items: str | bytes | None = None,
    *,
    file: str = "events.csv",
    items_file: str = "items.csv",
    rules: Rules = Rules(),  # noqa: B008
    said: Said = Said(),  # noqa: B008
    said_of_items: Said = Said(),  # noqa: B008
    size: int = 10_000,
    **wanted: Any,
) -> Imported:
    """Write the files into `folder`, import them beside it and load what came out."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, text in ((file, content), (items_file, items)):
        if text is not None:
            (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
            paths.append(folder / name)
    asked = Wanted(
        *paths,
        name="mine",
        rules=rules,
        said=said,
        said_of_items=said_of_items,
        out=folder / "imported",
        replace=True,
        **wanted,
    )
    report = import_dataset(asked, size=size)
    return Imported(report, load_imported(asked.folder), asked.folder)


@pytest.fixture
def importing(tmp_path: Path) -> Callable[..., Imported]:
    """`bring` into a folder of its own."""
    return lambda content, items=None, **more: bring(tmp_path / "files", content, items, **more)
