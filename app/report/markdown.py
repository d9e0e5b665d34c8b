"""A small Markdown table of table.json: sampled and full ranking apart."""

from collections.abc import Sequence

from app.report.words import interval, rate, seed
from core.evaluation.table import TableRow


def markdown_table(rows: Sequence[TableRow]) -> str:
    """One table per data set, split and kind of candidates, then one per split for the full catalogue."""
    parts = []
    for key in dict.fromkeys((row.dataset, row.split, row.candidates) for row in rows):
        chosen = [row for row in rows if (row.dataset, row.split, row.candidates) == key]
        parts.append(_sampled(*key, chosen))
    # The full catalogue does not depend on the kind of candidates: each method once.
    for place in dict.fromkeys((row.dataset, row.split) for row in rows):
        own = [row for row in rows if (row.dataset, row.split) == place and row.ndcg10_full is not None]
        once = {(row.method, row.seed): row for row in reversed(own)}
        if once:
            parts.append(_full(*place, list(reversed(once.values()))))
    return "\n\n".join(parts) + "\n"


def _sampled(dataset: str, split: str, candidates: str, rows: Sequence[TableRow]) -> str:
    head = ("method", "seed", "n", "HR@1 [95 %]", "ValidRatio", "HR@1, valid only", "samples", "minutes")
    cells = [
        (
            row.method,
            seed(row.seed),
            str(row.n),
            interval(row.hr1, row.hr1_low, row.hr1_high),
            rate(row.valid_ratio),
            rate(row.hr1_valid_only),
            "–" if row.train_samples is None else f"{row.train_samples:,}",
            "–" if row.train_minutes is None else f"{row.train_minutes:.0f}",
        )
        for row in rows
    ]
    return f"**{dataset} {split}, among {candidates} candidates**\n\n{lines(head, cells)}"


def _full(dataset: str, split: str, rows: Sequence[TableRow]) -> str:
    head = ("method", "seed", "n", "HR@10", "NDCG@10")
    cells = [
        (row.method, seed(row.seed), str(row.n), rate(row.hr10_full), rate(row.ndcg10_full)) for row in rows
    ]
    return f"**{dataset} {split}, full catalogue (another question: not comparable)**\n\n{lines(head, cells)}"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    ruler = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (head, ruler, *rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
