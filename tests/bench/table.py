"""The README's table of speed, written from results.json:  python -m tests.bench.table"""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import Machine
from tests.bench.results import Row, read_rows
from tests.bench.targets import TARGETS

README = Path(__file__).resolve().parents[2] / "README.md"
OPENING = "<!-- bench: written from tests/bench/results.json, held by a test -->"
CLOSING = "<!-- /bench -->"
BEFORE = "## Recommend from the terminal"
"""The section in front of which a README without the table gets it."""
HEADING = """## How fast it is

`make bench` measures ours and theirs in turns inside one run; a number is the median, with its quartiles.
"""


def block(rows: Sequence[Row]) -> str:
    """Everything between the markers, markers included."""
    lines = [OPENING, ""]
    for sentence in dict.fromkeys(_machine(row).sentence for row in rows):
        ids = [row.id for row in rows if _machine(row).sentence == sentence]
        which = "" if len(ids) == len(rows) else f" (rows {', '.join(ids)})"
        lines += [f"Measured on: {sentence}{which}.", ""]
    lines += [
        "| row | measured | against | value [quartiles] | target | reached |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_line(row) for row in rows),
        "",
    ]
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


def readme_block(readme: str) -> str | None:
    """The block that a README shows; None without markers."""
    found = re.search(f"{re.escape(OPENING)}.*?{re.escape(CLOSING)}", readme, re.DOTALL)
    return found.group() if found else None


def place(readme: str, new: str) -> str:
    """The README with this block."""
    old = readme_block(readme)
    if old is not None:
        return readme.replace(old, new)
    return readme.replace(BEFORE, f"{HEADING}\n{new}\n\n{BEFORE}", 1)


def main() -> None:
    rows = read_rows()
    if rows:
        README.write_text(place(README.read_text(encoding="utf-8"), block(rows)), encoding="utf-8")
    print(f"{len(rows)} of {len(TARGETS)} rows are in {README.name}.")


if __name__ == "__main__":
    main()
