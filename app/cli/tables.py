"""The two tables of an evaluation in the terminal: sampled and full, never in one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from core.evaluation.summary import Row


def print_tables(console: "Console", rows: Sequence["Row"]) -> None:
    """Per kind of candidates the sampled table, then the full one, then what may not be concluded."""
    from rich.markup import escape
    from rich.table import Table

    from app.report.words import FULL_COLUMNS, SAMPLED_COLUMNS, full_cells, sampled_cells, two_questions

    def table(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for number, column in enumerate(columns):
            drawn.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
        for row in cells:
            drawn.add_row(*map(escape, row))
        console.print(drawn)
        console.print()

    kinds = list(dict.fromkeys(row.header.candidates for row in rows))
    for kind in kinds:
        own = [row for row in rows if row.header.candidates == kind]
        h = own[0].header
        draws = len(own[0].files)
        title = f"{h.dataset} {h.split}, {h.part} users: the target among {h.width - 1} {kind} negatives"
        table(
            f"{title}, {draws} draw{'s' * (draws > 1)}", SAMPLED_COLUMNS, [sampled_cells(row) for row in own]
        )
    whole = [row for row in rows if row.header.candidates == kinds[0]]
    ranked = [full_cells(row, row.full) for row in whole if row.full is not None]
    if ranked:
        table(f"The target in the full catalogue ({whole[0].header.catalogue:,} items)", FULL_COLUMNS, ranked)
    for row in whole:
        if row.header.note:
            console.print(f"[dim]{escape(row.header.method)}: {escape(row.header.note)}[/]", soft_wrap=True)
    console.print(f"[italic]{two_questions(whole[0])}[/]", soft_wrap=True)
