"""Options that bring new items, the same for every command that answers from a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.new_items import NewItem

ItemsFile = Annotated[
    Path | None,
    typer.Option(
        "--items",
        help="File of new items, known by title: CSV, JSONL or Parquet (title; id, genres, year if known).",
        show_default="none",
    ),
]
NewTitles = Annotated[
    list[str] | None,
    typer.Option("--new-item", help="Title of a new item, with its year if known. Can be repeated."),
]


def new_items(file: Path | None, titles: list[str] | None = None) -> "list[NewItem]":
    """What was brought, read and checked. Raises DataError."""
    from core.new_items import items_of_titles, read_new_items

    return [*([] if file is None else read_new_items(file)), *items_of_titles(titles or [])]
