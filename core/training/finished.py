"""A finished run, opened again: what evaluation asks, what a second stage trains on, what a bundle holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from core.adapter_storage import read_adapter
from core.assembly import new_model
from core.data.dataset import Dataset
from core.encoder import TorchRouter
from core.errors import RunError
from core.prompt import Wording
from core.ranker import Ranker
from core.ranking_model import RankingModel
from core.training.prepare import Prepared, load_prepared
from core.training.recipe import Recipe, load_recipe
from quant.backbone import Backbone

RECIPE, SUMMARY, ADAPTER, SPACE = "recipe.yaml", "summary.json", "adapter", "item_space.safetensors"
"""What a finished run folder holds, beside what `core.training.prepare` puts there."""
START = "start"
"""Folder in a run folder for the runs of the bundle that it went on from."""


@dataclass(frozen=True)
class FinishedRun:
    """A run folder whose training ended.

    Attributes:
        folder: where it lies.
        recipe: as it was resolved when the run began.
        summary: what the run wrote about itself.
        prepared: the frozen encoder and item features it trained over.
    """

    folder: Path
    recipe: Recipe
    summary: Mapping[str, Any]
    prepared: Prepared


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder. Raises RunError where there is none."""
    if not (folder / RECIPE).is_file():
        raise RunError(f"{folder} holds no run ({RECIPE} is missing): name a folder that `ilora train` made.")
    return load_recipe(str(folder / RECIPE))


def read_finished(folder: Path) -> FinishedRun:
    """Open a run folder.

    Raises:
        RunError: it holds no run, or one that has not ended.
    """
    recipe = read_recipe(folder)
    missing = [name for name in (SUMMARY, ADAPTER, SPACE) if not (folder / name).exists()]
    if missing:
        raise RunError(
            f"{folder} holds no finished run ({missing[0]} is missing): train it to its end with --resume."
        )
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return FinishedRun(folder, recipe, summary, load_prepared(folder))


def load_weights(
    model: RankingModel, folder: Path, name: str, grown: Mapping[str, Tensor] | None = None
) -> None:
    """Lay a finished run's best weights into a model with an adapter of the same kind and name.

    Args:
        grown: state of the item space in place of the run's own, where the catalogue has grown since.

    Raises:
        RunError: the run's adapter is of another kind (method, rank, experts, modules).
    """
    source = folder / ADAPTER / name
    if not source.is_dir():
        held = sorted(p.name for p in (folder / ADAPTER).iterdir()) if (folder / ADAPTER).is_dir() else []
        raise RunError(f'{folder} holds no adapter "{name}"; it holds: {", ".join(held) or "none"}.')
    space, branch = space_and_branch(folder)
    try:
        told = set_peft_model_state_dict(model.decoder, read_adapter(source), adapter_name=name)
        model.space(name).load_state_dict(space if grown is None else grown)
        model.branches[name].load_state_dict(branch)
    except RuntimeError as error:
        first = " ".join(str(error).split())
        raise RunError(
            f"{folder} was trained with other shapes than this recipe asks for: {first}"
        ) from error
    if told.unexpected_keys:
        raise RunError(
            f"{folder} was written by another kind of run: {told.unexpected_keys[0]} has no place here."
        )


def space_and_branch(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """States of a finished run's item space and branch head."""
    tensors = load_file(folder / SPACE)
    space, branch = (
        {key.removeprefix(part): tensor for key, tensor in tensors.items() if key.startswith(part)}
        for part in ("space.", "branch.")
    )
    return space, branch


def open_ranker(run: FinishedRun, backbone: Backbone, dataset: Dataset) -> tuple[Ranker, TorchRouter]:
    """The run's ranker and router, on a backbone that carries no adapter yet."""
    name = run.recipe.method
    model = new_model(backbone, run.prepared.features, run.recipe)
    load_weights(model, run.folder, name)
    wording = Wording.of(backbone.tokenizer, dataset.catalog, dataset.domain)
    ranker = Ranker(model, wording, run.recipe.rows.history_length, run.prepared.title_prior)
    return ranker, TorchRouter(run.prepared.encoder, model.gate_of(name))
