"""What an import found and did, on the terminal: what was taken for what, what it cost, what came out."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from core.data.importing.report import Report
    from core.data.importing.wanted import Wanted


def as_json_text(report: "Report") -> str:
    """The report as JSON."""
    return json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False)


def show_report(report: "Report", kept: "Wanted | None") -> None:
    """Print it; `kept` says where the data set lies, None that nothing was kept."""
    from rich.console import Console
    from rich.markup import escape

    from app.cli.data import bars

    console = Console(highlight=False)
    _show_taken(console, report)
    _show_effects(console, report)
    _show_rejected(console, report)
    for note in report.notes:
        console.print(f"- {escape(note)}")
    if report.notes:
        console.print()
    span = f", {report.first_day} to {report.last_day}" if report.first_day else ""
    console.print(
        f"[bold]{escape(report.name)}[/]: {report.users:,} users, {report.items:,} items, "
        f"{report.interactions:,} interactions (density {report.density:.2%}, median "
        f"{report.median_length:g} per user){span}; "
        f"{report.asked:,} users are trained on and asked (split loo)\n"
    )
    console.print(bars("items per user", "users", report.lengths), "")
    if kept is None:
        console.print("Nothing was kept (--dry-run).")
        return
    called = report.name if kept.out is None else str(kept.folder)
    lines = [f"In {kept.folder}, sha256 {report.sha256}"]
    if report.rejected_file:
        lines.append(f"Rows that could not be used: {kept.folder / report.rejected_file}")
    lines.append(f"Next: ilora train --recipe laptop --dataset {called}")
    for line in lines:
        console.print(escape(line), soft_wrap=True)


def _show_taken(console: "Console", report: "Report") -> None:
    from rich.markup import escape

    for taken in report.taken:
        columns = ", ".join(f"{column} is the {role}" for column, role in taken.columns)
        unused = f"; not used: {', '.join(taken.unused)}" if taken.unused else ""
        console.print(f"[bold]{escape(taken.file)}[/]: {escape(taken.format)}, {taken.rows:,} rows")
        console.print(f"  {escape(columns + unused)}")
        for doubt in taken.doubts:
            console.print(f"  [yellow]{escape(doubt)}[/]")
    console.print("[dim]Wrong? Say it with --user-column, --delimiter, ... (--help names them all).[/]\n")


def _show_effects(console: "Console", report: "Report") -> None:
    cells = []
    for effect in report.effects:
        first = f" (first in lines {_join(effect.first_lines)})" if effect.first_lines else ""
        before, after = dataclasses.astuple(effect.before), dataclasses.astuple(effect.after)
        sizes = (f"{a:,} → {b:,}" if a != b else f"{a:,}" for a, b in zip(before, after, strict=True))
        cells.append((effect.rule + first, *sizes))
    _table(console, ("kept", "rows", "users", "items"), cells)


def _show_rejected(console: "Console", report: "Report") -> None:
    cells = [
        (dropped.file, dropped.reason, f"{dropped.rows:,}", _join(dropped.first_lines))
        for dropped in report.rejected
    ]
    _table(console, ("cannot be used", "because", "rows", "first in lines"), cells)


def _join(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines))


def _table(console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 or heading == "because" else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table, "")
