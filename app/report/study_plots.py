"""A study's plot as an SVG file, drawn from its numbers alone; nothing is read or computed anew."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.palette import expert_colour, expert_letter
from core.studies.finding import Finding

LORA, ILORA, OTHER = "#D55E00", "#0072B2", "#666666"
BASELINES = {"Popularity": "#BBBBBB", "ItemKNN": "#999999", "EASE": "#CC79A7", "SASRec": "#009E73"}
STYLE: Any = {
    "svg.hashsalt": "ilora",  # the same numbers give the same bytes
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def draw(finding: Finding, folder: Path) -> Path:
    """Write NAME.svg beside a finding; returns its path."""
    path = folder / f"{finding.name}.svg"
    with rc_context(STYLE):
        figure = PLOTS[finding.name](finding.numbers)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


def _figure(columns: int = 1, width: float = 7.0, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height))
    return figure, [figure.add_subplot(1, columns, place + 1) for place in range(columns)]


def _errors(rates: list[Mapping[str, float]]) -> list[list[float]]:
    low = [100 * (rate["mean"] - rate["low"]) for rate in rates]
    return [low, [100 * (rate["high"] - rate["mean"]) for rate in rates]]


def _rates(
    axis: Axes, along: Sequence[float], rates: list[Mapping[str, float]], colour: str, label: str
) -> None:
    """A line of rates in per cent with their intervals."""
    axis.errorbar(
        along,
        [100 * rate["mean"] for rate in rates],
        _errors(rates),
        color=colour,
        marker="o",
        ms=3,
        label=label,
    )


def _differences(axis: Axes, differences: Mapping[int, tuple[Mapping[str, float], str]]) -> None:
    """By place from above: a difference in points with its interval, and its colour; zero is a line."""
    for place, (difference, colour) in differences.items():
        mean, reach = 100 * difference["mean"], _errors([difference])
        axis.errorbar([mean], [place], xerr=reach, color=colour, marker="o", ms=4)
    axis.axvline(0, color="#333333", lw=0.8)


def _collapse(numbers: Mapping[str, Any]) -> Figure:
    figure, (shares, information) = _figure(2, height=2.8)
    names = list(numbers["gates"])
    for expert in range(numbers["experts"]):
        left = [sum(numbers["gates"][name]["shares"][:expert]) for name in names]
        widths = [numbers["gates"][name]["shares"][expert] for name in names]
        fill = expert_colour(expert).fill
        shares.barh(names, widths, left=left, color=fill, label=f"expert {expert_letter(expert)}")
    shares.set_xlabel("mean share of the experts")
    figure.legend(
        loc="outside upper center",
        ncols=min(numbers["experts"], 8),
        frameon=False,
        fontsize=7,
        handlelength=1.2,
    )
    shares.invert_yaxis()
    information.barh(names, [numbers["gates"][name]["information"] for name in names], color=ILORA)
    information.set_xlabel("information on the person, nats")
    information.set_yticks([])
    information.invert_yaxis()
    information.margins(x=0.5)
    for place, name in enumerate(names):
        told = numbers["gates"][name]
        count = len(told["alarms"])
        words = f"{count} alarm{'' if count == 1 else 's'}" if count else "no alarm"
        information.annotate(
            words, (told["information"], place), xytext=(4, 0), textcoords="offset points", va="center"
        )
    return figure


def _gradients(numbers: Mapping[str, Any]) -> Figure:
    adapters = numbers["adapters"]
    figure, axes = _figure(len(adapters), height=3.4)
    names = {"lora": "LoRA", "ilora": "iLoRA"}
    for axis, (name, told) in zip(axes, adapters.items(), strict=True):
        image = axis.imshow(told["cosines"], cmap="RdBu", vmin=-1, vmax=1)
        size = [str(number + 1) for number in range(len(told["cosines"]))]
        axis.set_xticks(range(len(size)), size)
        axis.set_yticks(range(len(size)), size)
        axis.set_xlabel("cluster of users")
        axis.set_title(
            f"{names.get(name, name)}: between {told['between']:.2f}, within {told['within']:.2f}", fontsize=9
        )
    figure.colorbar(image, ax=axes, label="cosine of gradients", shrink=0.8)
    return figure


def _coldstart(numbers: Mapping[str, Any]) -> Figure:
    figure, (hits, full) = _figure(2)
    for method in numbers["methods"]:
        label, points = method["label"], method["lengths"]
        colour = {"LoRA": LORA, "iLoRA": ILORA}.get(label, BASELINES.get(label, OTHER))
        lengths = [int(length) for length in points]
        _rates(hits, lengths, [point["hr1"] for point in points.values()], colour, label)
        full.plot(lengths, [point["ndcg10"] for point in points.values()], color=colour, marker="o", ms=3)
    for axis, words in ((hits, "HR@1 among 20, %"), (full, "NDCG@10, full catalogue")):
        axis.set_xlabel("items of the history that are read")
        axis.set_ylabel(words)
        axis.set_ylim(bottom=0)
    hits.legend(fontsize=7)
    return figure


def _gate(numbers: Mapping[str, Any]) -> Figure:
    arms = numbers["arms"]
    figure, (axis, differences) = _figure(2, height=1.0 + 0.27 * len(arms))
    rates = [arm["hr1"] for arm in arms]
    places = range(len(arms))
    colours = [LORA if arm["against"] is None else ILORA for arm in arms]
    axis.barh(places, [100 * rate["mean"] for rate in rates], xerr=_errors(rates), color=colours, alpha=0.8)
    axis.set_yticks(places, [arm["label"] for arm in arms])
    axis.set_xlabel(f"HR@1 among 20, %, n = {numbers['n']:,}")
    against = {place: (arm["against"], ILORA) for place, arm in enumerate(arms) if arm["against"] is not None}
    _differences(differences, against)
    differences.set_ylim(axis.get_ylim())
    differences.set_yticks([])
    differences.set_xlabel("points against LoRA, paired")
    for each in (axis, differences):
        each.invert_yaxis()
    return figure


def _experts(numbers: Mapping[str, Any]) -> Figure:
    figure, (axis,) = _figure()
    names = dict.fromkeys(arm["series"] for arm in numbers["arms"])
    for colour, aside, series in zip((ILORA, LORA), (0.97, 1.03), names, strict=False):
        arms = [arm for arm in numbers["arms"] if arm["series"] == series]
        _rates(axis, [aside * arm["size"] for arm in arms], [arm["hr1"] for arm in arms], colour, series)
    axis.set_xscale("log", base=2)
    sizes = sorted({arm["size"] for arm in numbers["arms"]})
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set_xlabel("experts K (1 is plain LoRA)")
    axis.set_ylabel(f"HR@1 among 20, % of {numbers['n']:,}")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _gaps(numbers: Mapping[str, Any]) -> Figure:
    figure, (axis,) = _figure(height=3.6)
    ways = numbers["ways"]
    for place, words, colour, shift in (
        ("anywhere", "anywhere in training", "#999999", -0.2),
        ("last", "last place of training", LORA, 0.0),
        ("next", "the next place, never seen", ILORA, 0.2),
    ):
        rates = [way[place] for way in ways]
        axis.errorbar(
            [100 * rate["mean"] for rate in rates],
            [number + shift for number in range(len(ways))],
            xerr=_errors(rates),
            color=colour,
            ls="",
            marker="o",
            ms=4,
            label=words,
        )
    axis.set_yticks(range(len(ways)), [way["label"] for way in ways])
    axis.invert_yaxis()
    axis.set_xlabel(f"HR@1 among 20, % of {numbers['n']:,}")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def _heterogeneity(numbers: Mapping[str, Any]) -> Figure:
    figure, (rates, found) = _figure(2)
    levels = numbers["levels"]
    along = [level["heterogeneity"] for level in levels]
    rates.plot(
        along, [100 * level["best"] for level in levels], color="#999999", ls="--", label="best possible"
    )
    for name, label, colour in (
        ("encoder", "SASRec", "#009E73"),
        ("lora", "LoRA", LORA),
        ("ilora", "iLoRA", ILORA),
    ):
        _rates(rates, along, [level[name] for level in levels], colour, label)
    rates.set_ylabel(f"HR@1 among 20, % of {numbers['n']:,} made-up people")
    rates.set_ylim(bottom=0)
    for name, label, colour in (
        ("found_by_gate", "mixtures, grouped", ILORA),
        ("found_by_leader", "leading expert", "#56B4E9"),
        ("found_by_encoder", "what the gate reads", "#009E73"),
    ):
        found.plot(along, [level[name] for level in levels], color=colour, marker="o", ms=3, label=label)
    told = [(level["told_linearly"] - 0.25) / 0.75 for level in levels]
    found.plot(along, told, color=OTHER, ls="--", marker="s", ms=3, label="linear probe of what it reads")
    found.set_ylabel("types found (0 by chance, 1 all)")
    found.set_ylim(-0.05, 1.05)
    for axis in (rates, found):
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7, frameon=False)
        axis.set_xlabel("how different people are, h")
    return figure


def _mixed(numbers: Mapping[str, Any]) -> Figure:
    figure, (axis,) = _figure(height=2.6)
    lines = [
        (f"{dataset}, {'LoRA' if method == 'lora' else 'iLoRA'}", told["difference"], method)
        for dataset, methods in numbers["datasets"].items()
        for method, told in methods.items()
    ]
    colours = {"lora": LORA, "ilora": ILORA}
    _differences(axis, {place: (told, colours[method]) for place, (_, told, method) in enumerate(lines)})
    axis.set_yticks(range(len(lines)), [name for name, _, _ in lines])
    axis.invert_yaxis()
    axis.set_xlabel("one adapter for all minus one for each, points of HR@1 among 20")
    return figure


PLOTS: Mapping[str, Callable[[Mapping[str, Any]], Figure]] = {
    "collapse": _collapse,
    "gradients": _gradients,
    "coldstart": _coldstart,
    "gate": _gate,
    "levers": _gate,
    "experts": _experts,
    "gaps": _gaps,
    "heterogeneity": _heterogeneity,
    "mixed": _mixed,
}
"""By study."""
