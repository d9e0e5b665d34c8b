"""`ilora compare`: does iLoRA beat LoRA, by how much, and would so few users show it?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.evaluate import Candidates, as_record, asked

if TYPE_CHECKING:
    from core.evaluation.comparison import PairedComparison
    from core.evaluation.run_comparison import RunComparison


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Finished run folders of LoRA and iLoRA, one each per seed; recipes say which is which."
        ),
    ],
    controls: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder of a control (static, random or shuffled gate); can be repeated."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with plots that needs nothing else: a .html file.")
    ] = None,
    candidates: Annotated[
        Candidates, typer.Option(help="How negatives are drawn; by popularity is harder.")
    ] = "uniform",
    draws: Annotated[
        int | None,
        typer.Option(min=1, help="Candidate draws per user.", show_default="5 uniform ones on paper, else 1"),
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Popularity, ItemKNN, EASE, SASRec and the untrained model too.")
    ] = True,
    users: Annotated[int | None, typer.Option(min=1, help="Only the first so many users.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of all results; what it holds is not asked again.")
    ] = Path("evaluations"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Compare iLoRA with LoRA on the same users, and with its controls.

    Evaluates what is missing and prints one sentence that can be quoted. Several seeds are averaged per user
    and shown one by one. iLoRA counts as better only if it beats LoRA and the static and shuffled gates.
    """
    from core.errors import RunError

    if report is not None and report.suffix != ".html":
        raise RunError(f"--report {report}: name a .html file.")
    comparisons = _compared(
        [*runs, *(controls or [])], asked("test", candidates, draws, users, baselines), out
    )
    if report is not None:
        from app.report.comparison_page import comparison_page

        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(comparison_page(comparisons), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(_record(comparisons, report), indent=2))
        return
    _show(comparisons)
    if report is not None:
        typer.echo(report)


def _compared(folders: list[Path], asked: Any, out: Path) -> "list[RunComparison]":
    from core.evaluation.fairness import unfair
    from core.evaluation.plan import evaluate_runs, read_runs
    from core.evaluation.run_comparison import check_comparable, compare_runs

    opened = read_runs(folders)
    check_comparable(opened)  # before the slow part
    from app.cli.steps_bar import StepsBar

    with StepsBar() as bar:
        evaluated = evaluate_runs(opened, asked, out, bar.step)
    notes = unfair(opened)
    return [compare_runs(evaluated.rows, kind, notes) for kind in asked.kinds]


def _record(comparisons: "list[RunComparison]", report: Path | None) -> dict[str, Any]:
    from app.report.verdict import full_sentence, verdict

    first = comparisons[0]
    return {
        "verdict": verdict(first),
        "better": first.ruling.better,
        "ruling": first.ruling.reason,
        "notes": list(first.notes),
        "full_catalogue": full_sentence(first),
        "comparisons": [
            {
                "candidates": comparison.kind,
                "judged": comparison.judged,
                "against": opponent,
                **_paired(seeded.pooled),
                "by_seed": {str(seed): _paired(one) for seed, one in seeded.by_seed.items()},
                "beyond_seeds": None if seeded.beyond_seeds is None else asdict(seeded.beyond_seeds),
                "ndcg10_full_difference": None if seeded.full is None else asdict(seeded.full),
            }
            for comparison in comparisons
            for opponent, seeded in comparison.against.items()
        ],
        **as_record([row for comparison in comparisons for row in comparison.rows]),
        "report": None if report is None else str(report),
    }


def _paired(one: "PairedComparison") -> dict[str, Any]:
    return {
        "n": one.n,
        "hr1_against": asdict(one.rate_a),
        "hr1_judged": asdict(one.rate_b),
        "difference": asdict(one.difference),
        "relative": one.relative,
        "p": one.p,
        "only_judged_hits": one.mcnemar.only_b,
        "only_other_hits": one.mcnemar.only_a,
        "smallest_detectable": one.detectable,
        "winner": one.winner,
    }


def _show(comparisons: "list[RunComparison]") -> None:
    from rich.console import Console
    from rich.markup import escape

    from app.cli.tables import print_tables
    from app.report.verdict import full_sentence, verdict

    console = Console(highlight=False)
    for comparison in comparisons:
        console.print(f"[bold]{escape(verdict(comparison))}[/]", soft_wrap=True)
        for seeded in list(comparison.against.values())[1:]:
            console.print(escape(seeded.pooled.verdict_sentence), soft_wrap=True)
        console.print(escape(comparison.ruling.reason) + "\n", soft_wrap=True)
    for note in comparisons[0].notes:
        console.print(f"[yellow]Note: {escape(note)}[/]", soft_wrap=True)
    print_tables(console, [row for comparison in comparisons for row in comparison.rows])
    if sentence := full_sentence(comparisons[0]):
        console.print(escape(sentence), soft_wrap=True)
