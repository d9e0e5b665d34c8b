"""A real but shallow backbone in a folder (SmolLM2's first two layers), so that whole runs take seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.assets import BACKBONE, fetch
from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.training.recipe import Recipe, load_recipe
from quant.backbone import load_backbone


@pytest.fixture(scope="session")
def movielens() -> Dataset:
    return load_dataset("movielens")


@pytest.fixture(scope="session")
def shallow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M cut to two layers, as a folder with safetensors."""
    folder = tmp_path_factory.mktemp("backbone")
    backbone = load_backbone(next(fetch(BACKBONE).glob("*.gguf")), "bf16", device="cpu")
    model = backbone.model
    decoder = model.get_decoder()
    decoder.layers = decoder.layers[:2]
    model.config.num_hidden_layers = 2
    model.config.layer_types = ["full_attention"] * 2
    model.save_pretrained(folder)
    backbone.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def settings(shallow_folder: Path) -> list[str]:
    """`--set` values of a run that takes seconds on real data."""
    return [
        f"model.backbone={shallow_folder}",
        "model.text_components=16",
        "adapter.r=8",
        "adapter.alpha=32",
        "adapter.num_experts=4",
        "adapter.gate_cross_fitted=false",  # five encoders less
        "model.folds=2",  # where a test fits them all the same
        "encoder.max_epochs=1",
        "encoder.width=32",
        "encoder.layers=1",
        "encoder.max_length=20",
        "optimizer.batch_size=8",
        "optimizer.micro_batch=4",
        "run.max_steps=8",
        "run.save_every=2",
        "run.evaluate_every=4",
        "run.validation_users=20",
        "run.threads=1",  # the suite has a worker per core: more threads would wait for one another
    ]


@pytest.fixture(scope="session")
def quick_recipe(settings: list[str]) -> Callable[..., Recipe]:
    """The demo recipe, made small; more settings and fields may be laid over it."""

    def make(*more: str, **fields: object) -> Recipe:
        return load_recipe("demo-cpu", [*settings, *more], **fields)

    return make
