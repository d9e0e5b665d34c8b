"""The tables of speed are results.json, to the digit."""

import re
from pathlib import Path

import pytest

from tests.bench.machine import this_machine
from tests.bench.results import Row, read_rows, write_rows
from tests.bench.table import HEADLINES, OPENING, block, pages, place, short_block, shown_block
from tests.bench.targets import TARGETS

ISSUE_ROWS = ("1", "2", "3", "3b", "4", "5", "6", "7", "8", "9", "10", "11")


def row(name: str, value: float) -> Row:
    ok = TARGETS[name].reached(value)
    return Row(name, value, 0.9 * value, 1.1 * value, ok, 5, this_machine().as_dict(), "2026-01-01")


def test_readme_and_docs_show_what_was_measured() -> None:
    for path, measured in pages(read_rows()).items():
        shown = shown_block(path.read_text(encoding="utf-8"))
        assert shown == measured, f"{path.name} shows another measurement: python -m tests.bench.table"


def test_the_readme_names_every_miss_and_shows_the_main_rows_only() -> None:
    rows = [row("1-forward", 2.0), row("7", 6.0), row("7-p50", 0.5), row("10-catalogue", 1.2)]
    short = short_block(rows)
    assert "1 of 3 rows with a target reach it. Missed: 1-forward, 7-p50." in short
    assert "| 7 |" in short and "| 7-p50 |" not in short
    assert set(HEADLINES) <= set(TARGETS)


def test_the_readme_is_read_at_a_sitting(repository: Path) -> None:
    assert len((repository / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_every_row_kept_is_judged_by_its_target() -> None:
    for kept in read_rows():
        assert kept.ok == TARGETS[kept.id].reached(kept.value), kept.id
        assert kept.low <= kept.value <= kept.high and kept.repeats >= 1, kept.id


def test_every_row_of_the_plan_has_a_target() -> None:
    assert {re.split("-", name)[0] for name in TARGETS} == set(ISSUE_ROWS)


@pytest.mark.parametrize(("value", "reached"), [(1.03, True), (1.04, False)])
def test_a_missed_target_is_said(value: float, reached: bool) -> None:
    line = block([row("1-forward", value)]).splitlines()[-3]
    assert line.endswith("| yes |" if reached else "| **no** |") and "≤ 1.03 x time" in line


def test_a_row_measured_alone_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_rows([row("7", 6.0), row("1-forward", 1.0)], path)
    write_rows([row("7", 7.0)], path)
    assert [(kept.id, kept.value) for kept in read_rows(path)] == [("1-forward", 1.0), ("7", 7.0)]


def test_the_table_is_replaced_in_its_place() -> None:
    first, second = block([row("7", 6.0)]), block([row("7", 7.0)])
    page = f"# Speed\n\n{first}\n\ntext\n"
    replaced = place(page, second)
    assert shown_block(replaced) == second and replaced.count(OPENING) == 1
    assert replaced.startswith("# Speed") and replaced.endswith("text\n")
    with pytest.raises(ValueError, match="no place"):
        place("# Speed\n", second)
