"""From finished training runs (one per adapter) to one bundle."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from core.assets import ASSETS
from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.errors import BundleError
from core.evaluation.stacking import stack_of
from core.training.finished import ADAPTER, RECIPE, SUMMARY, space_and_branch
from core.training.prepare import load_prepared, shared_digest
from core.training.recipe import Recipe, load_recipe
from core.training.run import open_backbone
from exports.bundle_info import (
    Adapter,
    AdapterInfo,
    BackboneInfo,
    BundleInfo,
    DatasetInfo,
    Metrics,
    TrainingInfo,
)
from exports.bundle_writer import AdapterParts, save_bundle, stored_adapter

NEAREST = 50
"""Neighbours that each item keeps in a bundle's stack. MovieLens, validation users (n = 943), NDCG@10 of the
stack: .119 with 10, .124 with 20, .126 with 50 or 100, .129 with all, whose tables outweigh all else."""


def bundle_from_runs(
    path: Path,
    runs: Mapping[Adapter, Path],
    created_by: str,
    retrieve: int = 100,
    machine: str = "",
    heads: Mapping[Adapter, Path] | None = None,
    small: bool = False,
) -> BundleInfo:
    """Save finished runs as a bundle. What must be measured first (blend, second stage, results) comes later,
    through `exports.bundle.update_bundle`.

    Args:
        path: the bundle's folder; its name becomes the bundle's.
        runs: run folder of each adapter; all must stand on the same encoder and item features.
        created_by: the command that reproduces the bundle.
        retrieve: C, how many items the router retrieves.
        machine: where it was trained, for the model card.
        heads: runs that trained a second stage's head on one of `runs`; without one it stays untrained.
        small: see `exports.bundle_writer.save_bundle`.

    Raises:
        BundleError: a run is unfinished, a control or learned beside an encoder, or the runs do not fit
            together.
        RecipeError, RunError: a run folder cannot be read.
    """
    for folder in (*runs.values(), *(heads or {}).values()):
        if not (folder / SUMMARY).is_file():
            raise BundleError(
                f"{folder} holds no finished run ({SUMMARY} is missing): train it to its end first."
            )
        _refuse_control(folder)
        _refuse_residual(folder)
    recipes = {name: load_recipe(str(folder / RECIPE)) for name, folder in runs.items()}
    summaries = {
        name: json.loads((folder / SUMMARY).read_text(encoding="utf-8")) for name, folder in runs.items()
    }
    modes = [_served_mode(folder, recipes[name]) for name, folder in runs.items()]
    standing = [*runs.values(), *(heads or {}).values()]
    if len({shared_digest(folder) for folder in standing}) > 1:
        raise BundleError("These runs stand on different encoders: train them from one recipe and one seed.")
    prepared = load_prepared(next(iter(runs.values())))
    parts = {name: _parts(folder, name) for name, folder in runs.items()}
    for name, folder in (heads or {}).items():
        head = _parts(folder, name)
        if not _same_adapter(head.folder, parts[name].folder):
            raise BundleError(f"{folder} trained its head on another adapter than that of {runs[name]}.")
        parts[name] = replace(parts[name], branch=head.branch)
    recipe = next(iter(recipes.values()))
    dataset = load_dataset(recipe.dataset)
    info = BundleInfo(
        name=path.name,
        created_by=created_by,
        dataset=DatasetInfo(name=recipe.dataset, sha256=dataset.sha256),
        backbone=_backbone(recipe),
        adapters={name: _adapter(recipes[name], parts[name], summaries[name]) for name in runs},
        mode=modes[0],
        encoder_width=prepared.encoder.shape.width,
        history_length=recipe.rows.history_length,
        licences=_licences(recipe, dataset),
        metrics=Metrics(training={n: _training(recipes[n], summaries[n], machine) for n in runs}),
    )
    stack = stack_of(dataset, dataset.split(recipe.split), prepared.encoder, NEAREST)
    return save_bundle(path, info, prepared, parts, retrieve, stack, small)


def _refuse_control(folder: Path) -> None:
    control = load_recipe(str(folder / RECIPE)).control
    if control is not None:
        raise BundleError(
            f"{folder} is the {control} control, whose gate does not read a person's own history: bundles "
            "serve people, so bundle a run with adapter.gate_reads=history."
        )


def _refuse_residual(folder: Path) -> None:
    residual = load_recipe(str(folder / RECIPE)).model.residual
    if residual:
        raise BundleError(
            f"{folder} learned beside an encoder (model.residual={residual:g}), which serving does not add "
            "to its scores: bundle a run with model.residual=0; validation users choose its blend."
        )


def _served_mode(folder: Path, recipe: Recipe) -> Literal["catalogue", "branch"]:
    if recipe.mode == "generate":
        raise BundleError(
            f"{folder} was trained in generate mode, a reference that the product does not serve: "
            "train with mode=catalogue for a bundle."
        )
    return recipe.mode


def _parts(folder: Path, name: str) -> AdapterParts:
    space, branch = space_and_branch(folder)
    return AdapterParts(folder / ADAPTER / name, space, branch)


def _same_adapter(one: Path, other: Path) -> bool:
    """Whether two adapters are the same once they are in a bundle."""
    a, b = stored_adapter(one), stored_adapter(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _backbone(recipe: Recipe) -> BackboneInfo:
    model = recipe.model
    known = ASSETS.get(model.backbone)
    version = known.version if known else model.revision or ""
    backbone = open_backbone(recipe)
    return BackboneInfo(
        asset=model.backbone, version=version, sha256=backbone.sha256, quantization=model.quantization
    )


def _adapter(recipe: Recipe, parts: AdapterParts, summary: Mapping[str, Any]) -> AdapterInfo:
    counts = {key: int(count) for key, count in summary["parameters"].items()}
    counts["item space"] = sum(tensor.numel() for tensor in parts.space.values())
    counts["branch head"] = sum(tensor.numel() for tensor in parts.branch.values())
    return AdapterInfo(
        rank=recipe.adapter.r,
        num_experts=recipe.experts,
        lora_alpha=recipe.adapter.alpha,
        trainable_parameters=counts,
    )


def _training(recipe: Recipe, summary: Mapping[str, Any], machine: str) -> TrainingInfo:
    seconds = summary.get("training_seconds")  # runs of before this was counted have none
    return TrainingInfo(
        recipe=recipe.model_dump(mode="json"),
        steps=summary["steps"],
        best_step=summary["best_step"] or summary["steps"],
        minutes=None if seconds is None else seconds / 60,
        machine=summary.get("machine", machine),  # a run unpacked from a bundle knows its own
    )


def _licences(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    known = ASSETS.get(recipe.model.backbone)
    return {
        "code and adapters": "Apache-2.0",
        "backbone": known.terms if known else "see its publisher",
        "data": dataset.terms,
    }
