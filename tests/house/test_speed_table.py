"""The README's table of speed is results.json, to the digit, and neither is there without the other."""

import re
from pathlib import Path

import pytest

from tests.bench.machine import this_machine
from tests.bench.results import RESULTS, Row, read_rows, write_rows
from tests.bench.table import CLOSING, OPENING, block, place, readme_block
from tests.bench.targets import TARGETS

ISSUE_ROWS = ("1", "2", "3", "3b", "4", "5", "6", "7", "8", "9", "10", "11")


def row(name: str, value: float) -> Row:
    ok = TARGETS[name].reached(value)
    return Row(name, value, 0.9 * value, 1.1 * value, ok, 5, this_machine().as_dict(), "2026-01-01")


def test_the_readme_shows_what_was_measured(repository: Path) -> None:
    shown = readme_block((repository / "README.md").read_text(encoding="utf-8"))
    rows = read_rows()
    if shown is None:
        assert not rows, f"{RESULTS.name} is there, but the README has no table: python -m tests.bench.table"
    else:
        assert shown == block(rows), "the README's table is another measurement: python -m tests.bench.table"


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


def test_the_table_is_put_in_its_place_and_replaced_there() -> None:
    readme = "# ilora\n\n## Recommend from the terminal\n\ntext\n"
    first, second = block([row("7", 6.0)]), block([row("7", 7.0)])
    once = place(readme, first)
    assert once.index(OPENING) < once.index(CLOSING) < once.index("## Recommend from the terminal")
    assert readme_block(place(once, second)) == second and place(once, second).count(OPENING) == 1
