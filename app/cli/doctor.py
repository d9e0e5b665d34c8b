"""`ilora doctor`: the findings about this machine, as a table for people or JSON for programs."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.checkup import Finding

_SIGNS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check this machine: versions, processor, memory, cache, data and the trained bundle.

    Exits with 2 when something that is needed is missing.
    """
    from app.checkup import checkup

    findings = checkup()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(2)


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("found and what to do", overflow="fold")
    for finding in findings:
        advice = f"\n→ {escape(finding.advice)}" if finding.advice else ""
        table.add_row(_SIGNS[finding.status], escape(finding.name), escape(finding.found) + advice)
    Console(highlight=False).print(table)
