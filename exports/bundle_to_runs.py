"""A bundle back to finished run folders, one per adapter: to train on from, or to measure as runs are."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml
from safetensors.torch import save_file
from torch import Tensor

from core.encoder import EncoderShape
from core.errors import BundleError, RunError
from core.item_space import ItemFeatures
from core.item_text import TextSpace
from core.training.finished import ADAPTER, RECIPE, SPACE, SUMMARY
from core.training.prepare import Prepared, save_prepared, stored_scale
from core.training.recipe import Recipe
from exports.bundle_check import verify_bundle
from exports.bundle_growth import read_projector
from exports.bundle_info import ROUTER, Adapter, BundleInfo
from exports.onnx_graph import read_encoder


def runs_from_bundle(bundle: Path, out: Path) -> dict[Adapter, Path]:
    """Write `out`/NAME-ADAPTER for every adapter of a bundle; returns the folders.

    What a bundle rounds (adapters to bf16 or eight bits, item texts to fp16) stays rounded: these runs answer
    as the bundle does, and bundling them again gives the same weights.

    Raises:
        BundleError: the bundle is damaged or was written before it kept its recipe.
        RunError: a folder is there already.
    """
    info = verify_bundle(bundle)
    tensors = read_projector(bundle)
    folders: dict[Adapter, Path] = {name: out / f"{info.name}-{name}" for name in info.adapters}
    for name, folder in folders.items():
        if folder.exists():
            raise RunError(f"{folder} is there already: choose another folder with --out, or remove it.")
        if name not in info.metrics.training:
            raise BundleError(f"{bundle} does not hold the recipe of {name}, so no run can be made of it.")
    for name, folder in folders.items():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        recipe = Recipe.model_validate(info.metrics.training[name].recipe)
        save_prepared(_prepared(bundle, info, tensors, recipe), partial)
        shutil.copytree(bundle / name, partial / ADAPTER / name)
        save_file(_own(tensors, name), partial / SPACE)
        (partial / SUMMARY).write_text(json.dumps(_summary(info, name), indent=2) + "\n", encoding="utf-8")
        (partial / RECIPE).write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
        partial.replace(folder)
    return folders


def _prepared(bundle: Path, info: BundleInfo, tensors: Mapping[str, Tensor], recipe: Recipe) -> Prepared:
    items = {key.removeprefix("items."): t for key, t in tensors.items() if key.startswith("items.")}
    shape = EncoderShape(
        num_items=len(items["known"]),
        width=info.encoder_width,
        layers=recipe.encoder.layers,
        heads=recipe.encoder.heads,
        max_length=recipe.encoder.max_length,
        dropout=recipe.encoder.dropout,
    )
    return Prepared(
        encoder=read_encoder(bundle / ROUTER, shape),
        features=ItemFeatures(
            items["collaborative"], items["text"].float(), items["known"], stored_scale(items.get("scale"))
        ),
        text_space=TextSpace(items["text_mean"], items["text_basis"]),
        title_prior=items["title_prior"],
        popularity=items["popularity"],
        encoder_epochs=0,  # how the encoder came about is not kept in a bundle
        encoder_validation=0.0,
        encoder_seconds=0.0,
    )


def _own(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}


def _summary(info: BundleInfo, name: Adapter) -> dict[str, object]:
    training, counts = info.metrics.training[name], info.adapters[name].trainable_parameters
    return {
        "method": name,
        "mode": info.mode,
        "split": training.recipe["split"],
        "dataset_sha256": info.dataset.sha256,
        "steps": training.steps,
        "best_step": training.best_step,
        "training_seconds": None if training.minutes is None else training.minutes * 60,
        "machine": training.machine,
        "alarms": [],
        "parameters": {"lora": counts["lora"], "gate": counts["gate"]},
        "from_bundle": info.name,
    }
