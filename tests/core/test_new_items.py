"""New items as people bring them: titles on the command line, files of every accepted kind."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.catalog import Catalog, Item
from core.errors import DataError
from core.new_item_notes import places_of_new
from core.new_items import NewItem, extended, items_of_titles, read_new_items

CATALOG = Catalog([Item(0, "1", "Fargo (1996)", 1996), Item(1, "2", "Heat (1995)", 1995)], popularity=[5, 3])
FARGO_2 = NewItem("Fargo 2 (2030)", "f2", ("Crime", "Comedy"), 2030)


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_best_three_new_items_are_told_with_their_ranks() -> None:
    catalog = Catalog([*CATALOG.items, *(Item(n, f"n{n}", f"New {n}") for n in range(2, 6))], [0] * 6)
    told = places_of_new(catalog, 2, np.array([3.0, 1.0, 5.0, 2.0, 4.0]), np.array([0, 2, 3, 4, 5]))
    assert told == [f"New: New {item} stands at rank {rank} of 5." for rank, item in ((1, 3), (2, 5), (4, 4))]


def test_bare_titles_are_cleaned_as_an_import_cleans_them() -> None:
    assert items_of_titles(["Postman, The (1999)", "  No\tYear "]) == [
        NewItem("The Postman (1999)", "The Postman (1999)", (), 1999),
        NewItem("No Year", "No Year", (), None),
    ]


def test_every_kind_of_file_says_the_same(tmp_path: Path) -> None:
    rows = [{"id": "f2", "title": "Fargo 2", "genres": "Crime|Comedy", "year": 2030}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    for path in (
        _file(tmp_path, "items.csv", "id,title,genres,year\nf2,Fargo 2,Crime|Comedy,2030\n"),
        _file(tmp_path, "items.tsv", "item\tname\tgenres\nf2\tFargo 2 (2030)\tCrime|Comedy\n"),
        _file(tmp_path, "items.jsonl", json.dumps(rows[0]) + "\n"),
        tmp_path / "items.parquet",
    ):
        assert read_new_items(path) == [FARGO_2], path.name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('title\nFargo 2 (2030)\n"Good, the Bad, The"\n\n', ["Fargo 2 (2030)", "The Good, the Bad"]),
        ("title,genres\nFargo 2 (2030),Crime\nHeat 2,Crime\n", ["Fargo 2 (2030)", "Heat 2"]),
    ],
)
def test_without_ids_the_title_is_the_id(text: str, found: list[str], tmp_path: Path) -> None:
    items = read_new_items(_file(tmp_path, "new.csv", text))
    assert [item.title for item in items] == found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Fargo 2 (2030)\nHeat 2\n", "begin a plain list with that line"),
        ("id,title\n7,\n", 'item "7" has no title'),
        ("title\n", "holds 0 new items"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        read_new_items(_file(tmp_path, "new.csv", text))


def test_they_stand_behind_the_catalogue_which_stays_as_it_is() -> None:
    grown = extended(CATALOG, [FARGO_2, NewItem("Heat 2")])
    assert grown.items[:2] == CATALOG.items and grown.popularity == (5, 3, 0, 0)
    assert [(item.index, item.item_id) for item in grown.items[2:]] == [(2, "f2"), (3, "Heat 2")]
    assert grown.resolve(["fargo 2", "f2", "HEAT 2", "1"]) == [2, 2, 3, 0]


@pytest.mark.parametrize(
    "new", [[NewItem("Heat (1995)")], [NewItem("Heat 2", "1")], [NewItem("Heat 2"), NewItem("Heat 2", "h")]]
)
def test_a_title_or_id_that_is_taken_is_refused(new: list[NewItem]) -> None:
    with pytest.raises(DataError, match=r"already|taken"):
        extended(CATALOG, new)
