"""The tables of speed, written from results.json: all rows in docs/speed.md, the main ones in the README.

python -m tests.bench.table
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import Machine
from tests.bench.results import Row, read_rows
from tests.bench.targets import TARGETS

REPOSITORY = Path(__file__).resolve().parents[2]
OPENING = "<!-- bench: written from tests/bench/results.json, held by a test -->"
CLOSING = "<!-- /bench -->"
HEADLINES = (
    "1-backward",
    "2-einsum",
    "3-separate-items",
    "3-64-items",
    "3b-64",
    "4-catalogue",
    "5",
    "6-branch",
    "7",
    "8",
    "9",
    "11",
    "11-memory",
)
"""Rows that the README shows."""
HEADER = (
    "| row | measured | against | value [quartiles] | target | reached |",
    "| --- | --- | --- | --- | --- | --- |",
)


def short_block(rows: Sequence[Row]) -> str:
    """The README's: the main rows, and which of all rows miss their target."""
    judged = [row for row in rows if row.ok is not None]
    missed = [row.id for row in judged if not row.ok]
    which = f" Missed: {', '.join(missed)}." if missed else ""
    return "\n".join(
        [
            OPENING,
            "",
            *HEADER,
            *(_line(row) for row in rows if row.id in HEADLINES),
            "",
            f"{len(judged) - len(missed)} of {len(judged)} rows with a target reach it.{which}",
            "",
            CLOSING,
        ]
    )


def block(rows: Sequence[Row]) -> str:
    """The whole table, its machines above and its notes below, markers included."""
    lines = [OPENING, ""]
    for sentence in dict.fromkeys(_machine(row).sentence for row in rows):
        ids = [row.id for row in rows if _machine(row).sentence == sentence]
        which = "" if len(ids) == len(rows) else f" (rows {', '.join(ids)})"
        lines += [f"Measured on: {sentence}{which}.", ""]
    lines += [*HEADER, *(_line(row) for row in rows), ""]
    notes = [f"- {row.id}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, *([*notes, ""] if notes else []), CLOSING])


def _machine(row: Row) -> Machine:
    fields = dict(row.machine)
    return Machine(**{**fields, "sets": tuple(fields["sets"])})  # type: ignore[arg-type]


def _line(row: Row) -> str:
    told = TARGETS[row.id]
    sign = "≤" if told.better == "lower" else "≥"
    target = "-" if told.target is None else f"{sign} {_number(told.target)} {told.unit}"
    reached = {True: "yes", False: "**no**", None: "-"}[row.ok]
    value = f"{_number(row.value)} [{_number(row.low)}, {_number(row.high)}] {told.unit}"
    return f"| {row.id} | {told.measured} | {told.against} | {value} | {target} | {reached} |"


def _number(value: float) -> str:
    """Three digits that count; thousands whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def shown_block(page: str) -> str | None:
    """The block that a page shows; None without markers."""
    found = re.search(f"{re.escape(OPENING)}.*?{re.escape(CLOSING)}", page, re.DOTALL)
    return found.group() if found else None


def place(page: str, new: str) -> str:
    """The page with this block.

    Raises:
        ValueError: it has no place for one.
    """
    old = shown_block(page)
    if old is None:
        raise ValueError(f"The page has no place for a table: write {OPENING} and {CLOSING} into it.")
    return page.replace(old, new)


def pages(rows: Sequence[Row]) -> dict[Path, str]:
    """The pages that show rows, and the block of each."""
    return {REPOSITORY / "README.md": short_block(rows), REPOSITORY / "docs" / "speed.md": block(rows)}


def main() -> None:
    rows = read_rows()
    for path, new in pages(rows).items():
        path.write_text(place(path.read_text(encoding="utf-8"), new), encoding="utf-8")
        print(f"{len(rows)} of {len(TARGETS)} rows are in {path.relative_to(REPOSITORY)}.")


if __name__ == "__main__":
    main()
