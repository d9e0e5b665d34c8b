"""`ilora train`: one run from a recipe, resumable at any moment, in one process or in several."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.training.recipe import Recipe


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe of the product by name, or a YAML file.", show_default="demo-cpu, or the bundle's"
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="A data set by name, yours by name or folder.", show_default="the recipe's"),
    ] = None,
    method: Annotated[str | None, typer.Option(help="ilora or lora; the recipe's own when left out.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Lay a field over the recipe: section.field=value. Can be repeated."),
    ] = None,
    from_bundle: Annotated[
        Path | None,
        typer.Option(help="A bundle to train on from, with its recipe; the data set may have grown since."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; a control is named in place of its method.",
            show_default="runs/RECIPE-METHOD, with --dataset runs/DATASET-METHOD",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's newest checkpoint.")
    ] = False,
    launch: Annotated[
        bool,
        typer.Option("--launch", help="Start as many processes as the recipe's run.processes, one per GPU."),
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
    if from_bundle is not None:
        wanted, folder = _from_bundle(from_bundle, recipe, dataset, method, set_ or [], out)
    else:
        wanted = load_recipe(recipe or "demo-cpu", set_ or [], method=method, dataset=dataset)
        stem = Path(recipe or "demo-cpu").stem if dataset is None else Path(dataset).name
        folder = out or Path("runs") / f"{stem}-{wanted.label}"
    if not launch:
        _train(wanted, folder, resume)
        return
    named = {
        "--recipe": recipe,
        "--dataset": dataset,
        "--method": method,
        "--from-bundle": from_bundle,
        "--out": folder,
    }
    _launch(wanted, folder, resume, _command(named, set_ or [], resume))


def _command(named: Mapping[str, object], settings: list[str], resume: bool) -> list[str]:
    """This command without --launch: what each process is to do."""
    given = [part for name, value in named.items() if value is not None for part in (name, str(value))]
    laid_over = [part for setting in settings for part in ("--set", setting)]
    again = ["--resume"] if resume else []
    return [sys.executable, "-m", "app.cli.main", "train", *given, *laid_over, *again]


def _launch(wanted: "Recipe", folder: Path, resume: bool, command: list[str]) -> None:
    from core.errors import RecipeError
    from core.training.launch import launch
    from core.training.machine import check_machine
    from core.training.processes import started
    from core.training.run_folder import wanted_in

    if started() > 1:
        raise RecipeError("--launch starts the processes itself: leave it out under another launcher.")
    wanted = wanted_in(wanted, folder, resume)
    check_machine(wanted)  # once and here, rather than by every process
    raise typer.Exit(launch(command, wanted.run.processes, wanted.run.threads))


def _train(wanted: "Recipe", folder: Path, resume: bool) -> None:
    from app.cli.train_progress import TrainingProgress
    from core.errors import PeerEnded, RunStopped
    from core.training.processes import is_first
    from core.training.run import train as run

    if not is_first():  # the first process speaks for all
        try:
            run(wanted, folder, resume)
        except RunStopped:
            return
        except PeerEnded as ended:  # that one has said why
            raise typer.Exit(2) from ended
        return
    with TrainingProgress(wanted.run.max_steps) as progress:
        summary = run(wanted, folder, resume, progress.watch())
    counts = summary["parameters"]
    best = summary["best_validation_hr1"]
    for alarm in summary["alarms"]:
        typer.echo(f"Alarm: {alarm}", err=True)
    typer.echo(
        f"{wanted.label}: {summary['steps']} steps, best validation HR@1 "
        f"{'not measured' if best is None else f'{best:.4f}'} (n = {summary['validation_users']}) at step "
        f"{summary['best_step']}; {counts['lora']:,} LoRA + {counts['gate']:,} gate parameters.\n{folder}\n"
        f"Next: ilora bundle --{wanted.method} {folder}"
    )


def _from_bundle(
    bundle: Path,
    recipe: str | None,
    dataset: str | None,
    method: str | None,
    settings: list[str],
    out: Path | None,
) -> "tuple[Recipe, Path]":
    """The recipe and the folder of a run that goes on from a bundle, which is unpacked into that folder."""
    from core.errors import BundleError, RecipeError, RunError
    from core.training.finished import RECIPE, START
    from core.training.processes import started
    from core.training.recipe import load_recipe
    from exports.bundle_check import read_info
    from exports.bundle_to_runs import runs_from_bundle

    if recipe is not None:
        raise RecipeError(
            "A bundle goes on by its own recipe: leave --recipe out, and change fields by --set."
        )
    info = read_info(bundle)
    name = method or ("ilora" if "ilora" in info.adapters else "lora")
    if name not in info.adapters:
        raise BundleError(f"{bundle} holds no {name}; it holds: {', '.join(info.adapters)}.")
    folder = out or Path("runs") / f"{Path(dataset).name if dataset else info.name + '-more'}-{name}"
    start = folder / START / f"{info.name}-{name}"
    if not start.is_dir():
        if (folder / RECIPE).is_file():
            raise RunError(f"{folder} holds another run already: choose another folder with --out.")
        if started() > 1:
            raise RecipeError("Several processes go on from a bundle by --launch, which unpacks it once.")
        runs_from_bundle(bundle, folder / START)
    # A bundle keeps no encoders of other users, which a cross-fitted gate was trained through.
    on_top = ["adapter.gate_cross_fitted=false", *settings, f"start_from={start}"]
    return load_recipe(str(start / RECIPE), on_top, method=name, dataset=dataset), folder
