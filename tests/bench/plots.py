"""Cost as work grows, drawn from results.json into docs/:  python -m tests.bench.plots

plotly draws and the tests' Chromium writes the SVG: nothing is installed for it, and nothing is fetched.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from tests.bench.results import Row, read_rows

PLOT = Path(__file__).resolve().parents[2] / "docs" / "cost-as-work-grows.svg"
CURVES = {
    "10-history": ("history length, 8 users", False),
    "10-candidates": ("candidates, one user", False),
    "10-catalogue": ("items of the catalogue, 8 users", True),
    "10-experts": ("experts K, seven linears", True),
    "10-routing": ("experts K, routing one user", True),
}
"""By row: the horizontal axis, and whether it is logarithmic."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def figure(rows: Mapping[str, Row]) -> go.Figure:
    """One panel per curve that was measured, milliseconds over size."""
    drawn = [name for name in CURVES if name in rows and rows[name].series]
    panels = make_subplots(rows=1, cols=len(drawn))
    for column, name in enumerate(drawn, start=1):
        title, logarithmic = CURVES[name]
        series = rows[name].series
        panels.add_trace(go.Scatter(x=series["size"], y=series["ms"], line={"color": "#0072B2"}), 1, column)
        panels.update_xaxes(title=title, type="log" if logarithmic else "linear", row=1, col=column)
        panels.update_yaxes(title="ms" if column == 1 else "", rangemode="tozero", row=1, col=column)
    panels.update_layout(
        template="plotly_white", showlegend=False, width=1250, height=300, margin={"t": 20, "r": 10, "l": 60}
    )
    return panels


def write_svg(drawn: go.Figure, path: Path) -> None:
    """Have Chromium draw the figure and keep the SVG."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise SystemExit("Drawing needs Chromium: run `make chromium`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=get_plotlyjs())
        url = page.evaluate(
            "async figure => Plotly.toImage(figure, {format: 'svg', width: 1250, height: 300})",
            drawn.to_plotly_json() | {"config": {}},
        )
        browser.close()
    path.parent.mkdir(exist_ok=True)
    path.write_text(unquote(url.split(",", 1)[1]) + "\n", encoding="utf-8")


def main() -> None:
    rows = {row.id: row for row in read_rows()}
    if not any(name in rows and rows[name].series for name in CURVES):
        print("No curve was measured yet.")
        return
    write_svg(figure(rows), PLOT)
    print(f"The curves are in docs/{PLOT.name}.")


if __name__ == "__main__":
    main()
