"""Run folders as training leaves them, with random weights: for what need not be trained, in seconds."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from core.assembly import new_model
from core.data.dataset import Dataset
from core.encoder import EncoderShape, SASRec
from core.item_space import ItemFeatures
from core.item_text import TextSpace
from core.training.finished import ADAPTER, RECIPE, SPACE, SUMMARY
from core.training.prepare import Prepared, save_prepared
from core.training.recipe import Recipe
from quant.backbone import load_backbone

STEPS, SECONDS = 8, 90.0


def make_run(folder: Path, recipe: Recipe, dataset: Dataset) -> Path:
    """A finished run of a recipe whose backbone is a small folder; seeds decide encoder and adapter."""
    folder.mkdir(parents=True)
    recipe.save(folder / RECIPE)
    backbone = load_backbone(recipe.model.backbone, recipe.model.quantization)
    prepared = _prepared(dataset, backbone.hidden_size, recipe)
    save_prepared(prepared, folder)
    model = new_model(backbone, prepared.features, recipe)
    torch.manual_seed(recipe.run.seed)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ("experts_" in name or "branches" in name):
            torch.nn.init.normal_(parameter, std=0.1)
    model.decoder.save_pretrained(folder / ADAPTER, safe_serialization=True)  # type: ignore[operator]
    method = recipe.method
    tensors = {f"space.{k}": v for k, v in model.spaces[method].state_dict().items()}
    tensors |= {f"branch.{k}": v for k, v in model.branches[method].state_dict().items()}
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, folder / SPACE)
    summary: dict[str, Any] = {"steps": STEPS, "training_seconds": SECONDS, "mode": recipe.mode}
    (folder / SUMMARY).write_text(json.dumps(summary))
    return folder


def _prepared(dataset: Dataset, hidden: int, recipe: Recipe) -> Prepared:
    torch.manual_seed(recipe.run.seed)
    n, width = dataset.num_items, recipe.encoder.width
    encoder = SASRec(EncoderShape(n, width, recipe.encoder.layers, max_length=recipe.encoder.max_length))
    torch.nn.init.normal_(encoder.items.weight, std=0.5)  # so that people differ
    known = torch.ones(n, dtype=torch.bool)
    components = recipe.model.text_components
    return Prepared(
        encoder=encoder.eval(),
        features=ItemFeatures(encoder.items.weight[:-1].detach().clone(), torch.randn(n, components), known),
        text_space=TextSpace(torch.zeros(hidden), torch.randn(hidden, components)),
        title_prior=-10 * torch.rand(n),
        popularity=torch.ones(n),
        encoder_epochs=1,
        encoder_validation=0.0,
        encoder_seconds=30.0,
    )
