"""`ilora runs`: what has been trained, how far, how good; and what two runs were not trained alike in."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.training.listing import ListedRun


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A folder of run folders to list, or run folders to compare.", show_default="runs"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List training runs, or compare those that are named: results, and fields in which they differ.

    TensorBoard shows the same folder's curves: tensorboard --logdir runs
    """
    from core.errors import RunError
    from core.training.finished import RECIPE
    from core.training.listing import list_runs, read_listed

    named = folders or [Path("runs")]
    if any((folder / RECIPE).is_file() for folder in named):
        found = [read_listed(folder) for folder in named]
    else:
        found = [run for folder in named for run in list_runs(folder)]
    if not found:
        raise RunError(f"There is no run in {', '.join(map(str, named))}: `ilora train` makes one.")
    compared = len(found) > 1 and bool(folders) and found[0].folder == named[0]
    if as_json:
        typer.echo(json.dumps(_record(found, compared), indent=2))
        return
    _show(found, compared)


def _record(found: "list[ListedRun]", compared: bool) -> dict[str, Any]:
    from core.training.listing import differing_fields

    listed = [
        {
            "folder": str(run.folder),
            "label": run.recipe.label,
            "dataset": run.recipe.dataset,
            "split": run.recipe.split,
            "mode": run.recipe.mode,
            "seed": run.recipe.run.seed,
            "state": run.state,
            "steps": run.steps,
            "max_steps": run.recipe.run.max_steps,
            "best_validation_hr1": run.best_hr1,
            "best_step": run.best_step,
            "loss": run.loss,
            "minutes": run.minutes,
            "alarms": list(run.alarms),
        }
        for run in found
    ]
    return {"runs": listed, "differ_in": differing_fields(found) if compared else {}}


def _show(found: "list[ListedRun]", compared: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from app.report.words import rate
    from core.training.listing import differing_fields

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a pipe has no width of its own
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "data", "what", "seed", "state", "steps", "HR@1", "at", "loss", "min"):
        table.add_column(
            name, overflow="fold", no_wrap=name != "run", min_width=12 if name == "run" else None
        )
    for run in found:
        recipe = run.recipe
        table.add_row(
            run.name,
            f"{recipe.dataset} {recipe.split}",
            recipe.label if recipe.mode == "catalogue" else f"{recipe.label} {recipe.mode}",
            str(recipe.run.seed),
            run.state,
            f"{run.steps}/{recipe.run.max_steps}",
            rate(run.best_hr1),
            "–" if run.best_step is None else str(run.best_step),
            rate(run.loss, 2),
            "–" if run.minutes is None else f"{run.minutes:.0f}",
        )
    console.print(table)
    console.print(
        "[dim]HR@1: the best so far on validation users, among 20 candidates, and at which step.[/]"
    )
    if compared:
        differences = Table("field", *(run.name for run in found), box=None, pad_edge=False)
        for field, values in differing_fields(found).items():
            differences.add_row(field, *map(str, values))
        console.print(differences if differences.row_count else "They were trained alike in every field.")
    for run in found:
        for alarm in run.alarms:
            console.print(f"{run.name}: {alarm}")
