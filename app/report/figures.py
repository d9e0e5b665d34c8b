"""Plots of a comparison, each a plotly figure. Every number in them stands in a table beside it too."""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from app.palette import expert_colour, expert_letter
from core.evaluation.intervals import Difference, Rate
from core.evaluation.run_comparison import RunComparison
from core.evaluation.where_gains import BucketGain, ExpertUse

INK, GRID = "#333", "#e5e5e5"
A_COLOUR, B_COLOUR = "#D55E00", "#0072B2"  # Okabe and Ito: told apart by colour-blind people


def forest(comparison: RunComparison) -> go.Figure:
    """Differences in HR@1 with intervals: against every opponent, seeds together, then one by one."""
    lines: list[tuple[str, Difference, bool]] = []
    for opponent, seeded in comparison.against.items():
        lines.append((f"against {opponent}", seeded.pooled.difference, True))
        if seeded.beyond_seeds is not None:
            lines.append((f"against {opponent}, users and seeds", seeded.beyond_seeds, False))
            lines += [
                (f"against {opponent}, seed {seed}", one.difference, False)
                for seed, one in seeded.by_seed.items()
            ]
    figure = _differences(lines, f"HR@1 of {comparison.judged} minus the other's, percentage points")
    band = 100 * comparison.main.pooled.detectable
    figure.add_vrect(x0=-band, x1=band, fillcolor="#999", opacity=0.12, line_width=0, layer="below")
    return figure


def rates(gains: Sequence[BucketGain], a: str, b: str, axis: str) -> go.Figure:
    """HR@1 of both methods in every bucket, with intervals."""
    figure = _figure(340)
    for name, colour, shift, side in ((a, A_COLOUR, -0.12, "a"), (b, B_COLOUR, 0.12, "b")):
        told: list[Rate] = [gain.a if side == "a" else gain.b for gain in gains]
        figure.add_trace(
            go.Scatter(
                x=[number + shift for number in range(len(gains))],
                y=[100 * rate.mean for rate in told],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [100 * (rate.high - rate.mean) for rate in told],
                    "arrayminus": [100 * (rate.mean - rate.low) for rate in told],
                },
                mode="markers",
                marker={"color": colour, "size": 9, "symbol": "square" if side == "a" else "circle"},
                name=escape(name),
            )
        )
    ticks = [f"{escape(gain.label)}<br>n = {gain.difference.n}" for gain in gains]
    figure.update_xaxes(
        tickvals=list(range(len(gains))),
        ticktext=ticks,
        title=axis,
        range=[-0.6, len(gains) - 0.4],
        zeroline=False,
    )
    figure.update_yaxes(title="HR@1, %", rangemode="tozero")
    return figure


def bucket_differences(gains: Sequence[BucketGain], a: str, b: str) -> go.Figure:
    """The paired difference in every bucket, with intervals."""
    lines = [(f"{gain.label} (n = {gain.difference.n})", gain.difference, False) for gain in gains]
    return _differences(lines, f"HR@1 of {b} minus {a}, percentage points")


def experts(use: ExpertUse) -> go.Figure:
    """Mean weight of every expert, over all users and in each cluster."""
    groups: Mapping[str, Sequence[float]] = {
        "all users": use.shares,
        **{f"{label} (n = {n})": shares for label, (n, shares) in use.clusters.items()},
    }
    figure = _figure(120 + 34 * len(groups))
    names = [escape(name) for name in groups]
    for expert in range(len(use.shares)):
        weights = [100 * shares[expert] for shares in groups.values()]
        colour = expert_colour(expert)
        figure.add_trace(
            go.Bar(
                y=names,
                x=weights,
                orientation="h",
                name=f"expert {expert_letter(expert)}",
                text=[f"{expert_letter(expert)} {weight:.0f} %" for weight in weights],
                textfont={"color": colour.ink},
                marker={"color": colour.fill},
            )
        )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(title="mean weight, %", range=[0, 100])
    figure.update_yaxes(autorange="reversed")
    return figure


def _differences(lines: Sequence[tuple[str, Difference, bool]], axis: str) -> go.Figure:
    figure = _figure(110 + 34 * len(lines))
    figure.add_trace(
        go.Scatter(
            y=[escape(name) for name, _, _ in lines],
            x=[100 * difference.mean for _, difference, _ in lines],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * (d.high - d.mean) for _, d, _ in lines],
                "arrayminus": [100 * (d.mean - d.low) for _, d, _ in lines],
            },
            mode="markers",
            marker={
                "color": B_COLOUR,
                "size": [12 if main else 7 for _, _, main in lines],
                "symbol": ["diamond" if main else "circle" for _, _, main in lines],
            },
            showlegend=False,
        )
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    figure.update_xaxes(title=escape(axis), zeroline=False)
    figure.update_yaxes(autorange="reversed")
    return figure


def _figure(height: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 50},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(gridcolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, automargin=True)
    return figure
