"""Pieces of the report's page: tables, plots, and where each number comes from. All text is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from core.evaluation.records import Results

STYLE = """
:root { color-scheme: light; --ink: #222; --soft: #666; --line: #ddd; --warn: #fff4d6; --accent: #0072b2 }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 0 auto;
  max-width: 62rem; padding: 1.5rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.25rem; margin-top: 2.5rem }
.verdict { font-size: 1.15rem; border-left: 5px solid var(--accent); padding: .3rem 1rem; margin: 1rem 0 }
.warning { background: var(--warn); padding: .6rem 1rem; border-radius: 6px }
figure, .scroll { margin: 0; overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .4rem 0 }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap }
thead th { white-space: normal; vertical-align: bottom }
th:first-child, td:first-child { text-align: left }
details { color: var(--soft); font-size: .85rem; margin: .4rem 0 1.2rem }
p.note { color: var(--soft) }
@media print { details { display: block } body { max-width: none } }
"""

# Nothing may be loaded from anywhere, whatever a script inside would like to.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def page(title: str, body: Iterable[str]) -> str:
    """A whole page that stands by itself: styles and plotly inside, nothing referred to."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>\n{chr(10).join(body)}\n</body></html>\n"
    )


def plot(figure: go.Figure, name: str, label: str) -> str:
    """A figure as a piece of the page; `name` is its id, `label` what a screen reader says."""
    drawn = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]},
    )
    return f'<figure role="img" aria-label="{escape(label)}">{drawn}</figure>'


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a caption; the first column is the row's name."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def traced(what: str, files: Iterable[Results]) -> str:
    """Where the numbers above come from: filter and reckoning in words, then each file with its sha256."""
    once = {file.path: file for file in files}
    listed = "".join(
        f"<li><code>{escape(file.path.parent.name)}/{escape(file.path.name)}</code><br>"
        f"sha256 <code>{file.sha256}</code>, {len(file.users)} rows used</li>"
        for file in once.values()
    )
    return (
        f"<details><summary>Where these numbers come from</summary>{escape(what)}<ul>{listed}</ul></details>"
    )


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a kind: verdict, warning or note."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"
