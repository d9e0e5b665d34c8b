"""`ilora recommend`: a history in, a ranked list out, with the experts that made it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.new_items import ItemsFile, NewTitles, new_items
from app.palette import expert_colour, expert_letter
from core.recommendation import AdapterName, Recommendation

if TYPE_CHECKING:
    from core.new_items import NewItem
    from core.recommender import Recommender

ITEM_BAR, EXPERT_BAR = 24, 12
STAGES = {
    "catalogue": "language model over the whole catalogue",
    "branch": "language model reading each title",
    "title": "untrained language model, by title",
    "popular": "most popular",
}


def recommend(
    history: Annotated[
        list[str] | None, typer.Argument(help="The history, oldest first: titles or item ids.")
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Length of the list.")] = 10,
    adapter: Annotated[
        AdapterName | None,
        typer.Option(
            help="ilora: experts mixed for this person. lora: one for all. base: untrained.",
            show_default="ilora, or what the bundle has",
        ),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of a trained bundle; default: the product's.")
    ] = None,
    candidates: Annotated[
        list[str] | None, typer.Option(help="Rank only these: one title or id per --candidates.")
    ] = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Read the best 20 one by one, if that helps.")
    ] = False,
    items: ItemsFile = None,
    new_item: NewTitles = None,
    gate: Annotated[
        str | None,
        typer.Option(
            help="Experts in place of the person's own mixture: A, or A=2,D=1, or a weight for each."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Recommend what comes next: films to watch, or whatever the bundle was trained on.

    New items may be in the history, among the candidates and in the list: they are read by title, without any
    training, and the list says where they stand.
    """
    wanted = None if gate is None else _weights(gate)
    brought = new_items(items, new_item)
    recommender = _open(bundle, [*(history or []), *(candidates or [])], brought)
    mixture = wanted if isinstance(wanted, list | None) else _of_all(wanted, recommender.num_experts)
    done = recommender.recommend(
        history or [],
        k=k,
        adapter=adapter or recommender.best_adapter,
        gate=mixture,
        candidates=candidates or None,
        rerank=rerank,
    )
    if as_json:
        typer.echo(json.dumps(as_record(done), ensure_ascii=False))
    else:
        _show(done)


def as_record(done: Recommendation) -> dict[str, Any]:
    """A recommendation as JSON holds it."""
    return {
        "items": [
            {
                "rank": item.rank,
                "id": item.item_id,
                "title": item.title,
                "score": item.score,
                "probability": item.probability,
            }
            for item in done.items
        ],
        "gate": list(done.gate),
        "adapter": done.adapter,
        "stage": done.stage,
        "timings_ms": {step: round(ms, 3) for step, ms in done.timings_ms.items()},
        "notes": list(done.notes),
    }


def _weights(text: str) -> list[float] | dict[str, float]:
    """A weight for each expert (0.1,0.9), or some by letter (A,D=2): all others get nothing."""
    parts = [part.strip() for part in text.split(",")]
    try:
        if not any(part[:1].isalpha() for part in parts):
            return [float(part) for part in parts]
        named = [part.split("=") if "=" in part else [part, "1"] for part in parts]
        if all(len(letter) == 1 for letter, _ in named):
            return {letter.upper(): float(weight) for letter, weight in named}
    except ValueError:
        pass
    raise typer.BadParameter(f'"{text}" is no mixture: say A, or A=2,D=1, or a number for each expert.')


def _of_all(named: Mapping[str, float], experts: int) -> list[float]:
    letters = [expert_letter(number) for number in range(experts)]
    if unknown := [letter for letter in named if letter not in letters]:
        raise typer.BadParameter(
            f"There is no expert {unknown[0]}: experts are {letters[0]} to {letters[-1]}."
        )
    return [named.get(letter, 0.0) for letter in letters]


def _open(bundle: Path | None, named: list[str], brought: "list[NewItem]") -> "Recommender":
    """The bundle's recommender; misspelt titles are refused before the slow part."""
    from app.cli.download_bar import DownloadBar
    from app.cli.loading import Loading
    from core.data.registry import load_dataset
    from core.new_items import extended
    from exports.bundle_check import read_info
    from exports.bundle_info import DEFAULT_BUNDLE

    path = bundle or DEFAULT_BUNDLE
    name = read_info(path).dataset.name
    with DownloadBar(name) as bar:
        dataset = load_dataset(name, bar)
    extended(dataset.catalog, brought).resolve(named)
    with Loading() as say, DownloadBar("backbone") as bar:
        say("Starting.")
        from exports.bundle import load_bundle

        return load_bundle(path, say=say, progress=bar, dataset=dataset, new_items=brought)


def _show(done: Recommendation) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"[bold]{done.adapter}[/], {STAGES[done.stage]}; probabilities among {done.ranked:,} items\n"
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    best = max(item.probability for item in done.items)
    for item in done.items:
        bar = _bar(item.probability / best, ITEM_BAR)
        table.add_row(str(item.rank), escape(item.title), bar, f"{item.probability:.1%}")
    console.print(table)
    if done.gate:
        console.print()
        console.print(
            "Experts  " + "  ".join(_expert(number, weight) for number, weight in enumerate(done.gate))
        )
    if done.notes:
        console.print()
    for note in done.notes:
        console.print(f"[italic]{escape(note)}[/]")
    times = " · ".join(f"{ms:.1f} ms {step}" for step, ms in done.timings_ms.items() if step != "total")
    console.print(f"\n[dim]{times}[/]")


def _expert(number: int, weight: float) -> str:
    bar = _bar(weight, EXPERT_BAR)
    return f"{expert_letter(number)} [{expert_colour(number).fill}]{bar}[/] {weight:.0%}"


def _bar(share: float, width: int) -> str:
    """At least a sliver, so that nothing that was ranked looks like nothing."""
    eighths = max(1, round(8 * width * share))
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]
