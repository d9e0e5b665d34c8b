"""`ilora estimate`: what a recipe will take of a card, before anything is downloaded or begun."""

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.training.estimate import Estimate
    from core.training.recipe import Recipe
    from core.training.trial import Trial

PARTS = {
    "weights": "backbone, frozen parts",
    "adapter": "trained numbers (float32)",
    "gradients": "their gradients",
    "optimizer": "optimizer states",
    "activations": "activations kept",
    "items": "item tokens kept",
    "logits": "scores or logits",
    "dequantization": "4-bit weights written out",
    "passing": "tensors of the moment",
    "process": "CUDA context, or process",
    "slack": "allocator's slack",
}


def estimate(
    recipe: Annotated[
        str, typer.Option(help="A recipe of the product by name, or a YAML file.")
    ] = "demo-cpu",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Lay a field over the recipe: section.field=value. Can be repeated."),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(help="Memory of the card it shall run on, as it is sold: 8GB, 24GB.", metavar="SIZE"),
    ] = None,
    items: Annotated[
        int | None,
        typer.Option(min=2, help="Items of the catalogue, when the data set is not to be loaded."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the backbone here and time a few steps (minutes).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Tell what a recipe needs: weights, adapter, optimizer, activations, logits, and the peak.

    Computed from the backbone's config, without its weights. docs/memory.md shows how, and how near it comes.
    """
    from core.training.recipe import load_recipe

    limit = None if gpu is None else card_bytes(gpu)
    wanted = load_recipe(recipe, set_ or [])
    dataset = None if items is not None and not measure else _dataset(wanted)
    found, cuda = _estimate(wanted, dataset, items, limit)
    trial = _measured(wanted, dataset) if measure and dataset is not None else None
    record = as_record(wanted, found, cuda, dataset, trial)
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        _show(wanted, found, record)


def card_bytes(size: str) -> int:
    """A card's memory as it is sold, in bytes: its GB are of 1,024 MiB.

    Raises:
        RecipeError: not a size.
    """
    from core.errors import RecipeError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:GB|GiB|G)?", size.strip(), re.IGNORECASE)
    if found is None or float(found.group(1)) <= 0:
        raise RecipeError(f"--gpu {size}: write the card's memory in gigabytes, for example --gpu 24GB.")
    return int(float(found.group(1)) * 2**30)


def _dataset(recipe: "Recipe") -> "Dataset":
    from app.cli.loading import Loading
    from core.data.registry import load_dataset

    with Loading() as tell:
        tell(f"Loading the data set {recipe.dataset}.")
        return load_dataset(recipe.dataset)


def _estimate(
    recipe: "Recipe", dataset: "Dataset | None", items: int | None, limit: int | None
) -> "tuple[Estimate, bool]":
    from core.training.estimate import estimate as estimated
    from core.training.memory import CatalogueShape, catalogue_shape
    from quant.backbone import compute_on, default_device
    from quant.devices import devices
    from quant.planner import architecture_of, published_config

    device, machine = default_device(), devices()
    cuda = limit is not None or device.type == "cuda"
    if limit is None:
        limit = machine.cuda[0].memory_total if machine.cuda else machine.memory or None
    model = architecture_of(published_config(recipe.model.backbone, recipe.model.revision))
    if dataset is not None:
        shape = catalogue_shape(dataset)
    else:
        assert items is not None
        shape = CatalogueShape(items)
    bits = recipe.model.quantization if recipe.model.quantization != "nf4" else recipe.model.compute
    if bits == "auto":
        bits = "bf16" if cuda else compute_on(device)
    width = 4 if bits == "fp32" else 2
    return estimated(recipe, model, shape, "cuda" if cuda else "cpu", width, limit), cuda


def _measured(recipe: "Recipe", dataset: "Dataset") -> "Trial":
    from app.cli.steps_bar import StepsBar
    from core.training.machine import check_machine
    from core.training.run import open_backbone
    from core.training.trial import run_trial

    check_machine(recipe)
    with StepsBar() as bar:
        backbone = open_backbone(recipe, step=bar.step)
        return run_trial(recipe, backbone, dataset, bar.step)


def as_record(
    recipe: "Recipe", found: "Estimate", cuda: bool, dataset: "Dataset | None", trial: "Trial | None"
) -> dict[str, Any]:
    """What `--json` prints; bytes and seconds."""
    from core.training.estimate import rows_per_epoch

    record: dict[str, Any] = {
        "backbone": recipe.model.backbone,
        "device": "cuda" if cuda else "cpu",
        "processes": recipe.run.processes,
        "batch": asdict(found.batch),
        "bytes": asdict(found.plan),
        "limit": found.limit,
        "fits": found.fits,
        "settings": None if found.settings is None else list(found.settings),
        "peak_with_settings": None if found.suggested is None else found.suggested.peak,
        "measured": None,
    }
    if trial is not None and dataset is not None:
        rows = rows_per_epoch(recipe, dataset.split(recipe.split))
        per_row = trial.seconds / trial.batch.rows
        record["measured"] = {
            "batch": asdict(trial.batch),
            "peak_tensors": trial.peak,
            "seconds_per_micro_step": trial.seconds,
            "rows_per_epoch": rows,
            "seconds_per_epoch": per_row * rows,
            "seconds_of_run": per_row * recipe.optimizer.batch_size * recipe.run.max_steps,
        }
    return record


def _show(recipe: "Recipe", found: "Estimate", record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    parts = asdict(found.plan)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("what")
    table.add_column("GiB", justify="right")
    for name, words in PARTS.items():
        table.add_row(words, f"{parts[name] / 2**30:.3f}")
    table.add_row("[bold]peak[/]", f"[bold]{found.plan.peak / 2**30:.3f}[/]")
    console = Console(highlight=False)
    batch, place = found.batch, "one card" if record["device"] == "cuda" else "the CPU"
    of = f" of {recipe.run.processes}" if recipe.run.processes > 1 else ""
    console.print(
        f"{recipe.model.backbone}, {recipe.model.quantization}, {recipe.mode} mode: micro-batch"
        f" {batch.rows} of {batch.length} positions, on {place}{of}",
        soft_wrap=True,
    )
    console.print(table)
    console.print(_verdict(found), soft_wrap=True)
    console.print(_duration(record["measured"]), soft_wrap=True)


def _verdict(found: "Estimate") -> str:
    if found.limit is None:
        return "Whether it fits is not known: say --gpu SIZE."
    size = f"{found.limit / 2**30:.4g} GiB"
    laid_over = " ".join(f"--set {setting}" for setting in found.settings or ())
    peak = "" if found.suggested is None else f" ({found.suggested.peak / 2**30:.2f} GiB)"
    if found.fits:
        more = f" The largest micro-batch that fits: {laid_over}{peak}." if laid_over else ""
        return f"Fits into {size}.{more}"
    if found.settings is None:
        return (
            f"Does not fit into {size}, nor does anything shorter or checkpointed: choose a smaller backbone."
        )
    return f"Does not fit into {size}. This does: {laid_over}{peak}."


def _duration(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return "How long it takes is not known before a step was measured where it will run: --measure."
    return (
        f"Measured here: {measured['seconds_per_micro_step']:.2f} s for a micro-batch of"
        f" {measured['batch']['rows']}, tensors at most {measured['peak_tensors'] / 2**30:.3f} GiB;"
        f" {measured['seconds_per_epoch'] / 60:.0f} minutes an epoch ({measured['rows_per_epoch']:,} rows),"
        f" {measured['seconds_of_run'] / 60:.0f} minutes the run, without validations."
    )
