"""No cell that leaves us is a formula, and nothing else about it changes."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.csv_writing import FORMULA_STARTS, CsvWriter, disarmed


def _read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_text_that_begins_like_a_formula_is_disarmed(start: str) -> None:
    assert disarmed(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"


def test_numbers_of_our_own_stay_numbers() -> None:
    assert [disarmed(value) for value in (-1, -1.5, None, "a=b", "")] == [-1, -1.5, None, "a=b", ""]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=3))
def test_every_cell_comes_back_and_none_is_a_formula(cells: list[str]) -> None:
    out = io.StringIO(newline="")
    CsvWriter(out, ["column"] * len(cells)).write(cells)
    [_, row] = _read(out.getvalue())
    assert not any(cell.startswith(FORMULA_STARTS) for cell in row)
    assert [
        cell.removeprefix("'") if cell != raw else cell for cell, raw in zip(row, cells, strict=True)
    ] == cells


def test_a_row_of_another_width_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        CsvWriter(io.StringIO(), ["one"]).write(["a", "b"])
