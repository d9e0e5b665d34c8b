"""A line chart as SVG: small, readable in dark and light, with its last value as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

WIDTH, HEIGHT = 480, 170
LEFT, RIGHT, TOP, BOTTOM = 62, 10, 10, 24
MOST_POINTS = 400
"""More than a screen can show apart."""


@dataclass(frozen=True)
class Line:
    """One line: steps rising, values of the same length, finite or not."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]


def line_chart(title: str, hint: str, line: Line, last_step: int) -> str:
    """A figure with its title, its last value and its line from step 0 to `last_step`."""
    points = [(s, v) for s, v in zip(line.steps, line.values, strict=True) if isfinite(v)]
    if not points:
        return (
            f'<figure class="curve"><figcaption title="{escape(hint)}"><b>{escape(title)}</b> '
            "<span>nothing logged yet</span></figcaption></figure>"
        )
    kept = points[:: max(1, len(points) // MOST_POINTS)]
    kept = kept if kept[-1] == points[-1] else [*kept, points[-1]]
    values = [value for _, value in kept]
    low, high = min(values), max(values)
    if high == low:
        low, high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
    end = max(last_step, kept[-1][0], 1)

    def place(step: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / end
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)
        return f"{x:.1f},{y:.1f}"

    path = " ".join(place(step, value) for step, value in kept)
    x, y = place(*kept[-1]).split(",")
    floor = HEIGHT - BOTTOM
    axis = (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{TOP}" y2="{TOP}"/>'
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{number(high)}</text>'
        f'<text x="{LEFT - 6}" y="{floor}" text-anchor="end">{number(low)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">0</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">step {end:,}</text>'
    )
    first, last = points[0], points[-1]
    return (
        f'<figure class="curve"><figcaption title="{escape(hint)}"><b>{escape(title)}</b> '
        f"<span>{number(last[1])} at step {last[0]:,}</span></figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} from {number(first[1])} '
        f"at step {first[0]} to {number(last[1])} at step {last[0]}, between {number(min(values))} and "
        f'{number(max(values))}">{axis}<polyline points="{path}"/><circle cx="{x}" cy="{y}" r="4"/></svg>'
        "</figure>"
    )


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}"
