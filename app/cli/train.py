"""`ilora train`: one run from a recipe, resumable at any moment."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        str, typer.Option(help="A recipe of the product by name, or a YAML file.")
    ] = "demo-cpu",
    method: Annotated[str | None, typer.Option(help="ilora or lora; the recipe's own when left out.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Lay a field over the recipe: section.field=value. Can be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; a control is named in place of its method.", show_default="runs/RECIPE-METHOD"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's newest checkpoint.")
    ] = False,
) -> None:
    """Train LoRA or iLoRA over a frozen 4-bit language model.

    Everything is written to the run folder: recipe, encoder, checkpoints, TensorBoard events, the finished
    adapter. Killed at any moment, the same command with --resume goes on.
    """
    from core.errors import RecipeError
    from core.training.recipe import load_recipe

    if method is not None and method not in ("ilora", "lora"):
        raise RecipeError(f'--method {method}: use "ilora" or "lora".')
    wanted = load_recipe(recipe, set_ or [], method=method)
    folder = out or Path("runs") / f"{Path(recipe).stem}-{wanted.label}"

    from app.cli.train_progress import TrainingProgress
    from core.training.run import train as run

    with TrainingProgress(wanted.run.max_steps) as progress:
        summary = run(wanted, folder, resume, progress.watch())
    counts = summary["parameters"]
    best = summary["best_validation_hr1"]
    for alarm in summary["alarms"]:
        typer.echo(f"Alarm: {alarm}", err=True)
    typer.echo(
        f"{wanted.label}: {summary['steps']} steps, best validation HR@1 "
        f"{'not measured' if best is None else f'{best:.4f}'} (n = {summary['validation_users']}) at step "
        f"{summary['best_step']}; {counts['lora']:,} LoRA + {counts['gate']:,} gate parameters.\n{folder}"
    )
