"""The product's recipes: documented, fitting the card they name, refused in time where they cannot run."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from core.data.dataset import Dataset
from core.errors import RecipeError
from core.training.checkpoint import load_optimizer, save_checkpoint
from core.training.estimate import estimate, rows_per_epoch
from core.training.machine import check_machine
from core.training.memory import CatalogueShape, catalogue_shape
from core.training.recipe import Recipe, load_recipe, recipe_names
from core.training.run import train
from quant.optimizer import paged_adamw_8bit
from quant.planner import GIB, PUBLISHED, architecture_of, published_config

RECIPES = Path(__file__).parents[3] / "core" / "recipes"
TWO = ["run.processes=2", "optimizer.micro_batch=16"]
CARDS = {"gpu-8gb": 8, "gpu-12gb": 12, "gpu-24gb": 24, "2x24gb-fsdp": 24, "paper-llama2-7b": 24}


def header(name: str) -> str:
    return (RECIPES / f"{name}.yaml").read_text().split("\ndataset:")[0]


def test_the_recipes_that_were_promised_are_there() -> None:
    assert {*CARDS, "laptop", "demo-cpu", "demo-cpu-head", "demo-cpu-generate"} <= set(recipe_names())


@pytest.mark.parametrize("name", CARDS)
def test_a_recipe_for_a_card_fits_it_by_the_estimate_it_begins_with(name: str, movielens: Dataset) -> None:
    recipe, size = load_recipe(name), CARDS[name]
    model = architecture_of(published_config(recipe.model.backbone))
    found = estimate(recipe, model, catalogue_shape(movielens), "cuda", 2, size * GIB)
    assert found.fits and found.plan.peak < size * GIB
    text = header(name)
    assert f"ilora estimate --recipe {name} --gpu {size}GB" in text
    assert f"ilora train --recipe {name} --method ilora" in text
    assert "has not run on a GPU" in " ".join(text.replace("#", "").split())
    assert recipe.model.backbone in PUBLISHED and recipe.model.backbone.count("/") == 1


@pytest.mark.parametrize("name", recipe_names())
def test_every_command_in_a_header_names_its_own_recipe(name: str) -> None:
    named = re.findall(r"--recipe (\S+)", header(name))
    assert named and set(named) == {name}


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, str | None]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from ((f"{name}.{below}", text) for below, text in _fields(inner))
        else:
            yield name, field.description


def test_every_field_of_a_recipe_is_documented() -> None:
    assert [name for name, text in _fields(Recipe) if not text] == []


def test_a_recipe_is_never_half_written(tmp_path: Path) -> None:
    """Processes that share the runs read the recipe of a run that another begins."""
    path, whole = tmp_path / "recipe.yaml", load_recipe("demo-cpu", ["run.seed=0"])
    whole.save(path)

    def save_often() -> None:
        for _ in range(50):
            whole.save(path)

    writer = threading.Thread(target=save_often)
    writer.start()
    while writer.is_alive():
        assert load_recipe(str(path)) == whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (["optimizer.kind=paged_adamw_8bit"], "optimizer.kind=adamw"),
        ([*TWO, "run.sharding=fsdp", "model.storage=bf16"], "add --launch"),
        (TWO, "add --launch"),
    ],
)
def test_what_cannot_run_here_and_so_is_refused_before_anything_is_written(
    settings: list[str], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = load_recipe("demo-cpu", settings)
    with pytest.raises(RecipeError, match=re.escape(advice)):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_machine(load_recipe("demo-cpu"), cuda=False)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["run.sharding=fsdp"], "run.processes above 1"),
        ([*TWO, "run.sharding=fsdp"], 'model.storage="bf16"'),
        (["run.processes=3"], "run.processes=3 must divide"),
    ],
)
def test_fields_that_do_not_fit_together_are_told(settings: list[str], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        load_recipe("demo-cpu", settings)


def test_the_laptops_pieces_make_the_demos_step(settings: list[str], tmp_path: Path) -> None:
    """The laptop recipe, run on a shallow backbone; its rows and optimizer steps are the demo's."""
    laptop, demo = load_recipe("laptop"), load_recipe("demo-cpu")
    assert laptop.optimizer.batch_size == demo.optimizer.batch_size > laptop.optimizer.micro_batch
    assert laptop.rows == demo.rows
    # The threads of the other runs: torch sets them once.
    quick = [*settings, "run.max_steps=2", "run.threads=2", "optimizer.gradient_checkpointing=true"]
    summary = train(load_recipe("laptop", quick), tmp_path / "run")
    assert summary["steps"] == 2 and summary["method"] == "ilora"


# ---------------------------------------------------------------- what fits


def test_a_recipe_that_does_not_fit_is_told_what_would() -> None:
    recipe, shape = load_recipe("gpu-24gb"), CatalogueShape(1682)
    model = architecture_of(published_config(recipe.model.backbone))

    def within(gib: float) -> tuple[bool | None, tuple[str, ...] | None]:
        found = estimate(recipe, model, shape, "cuda", 2, int(gib * GIB))
        assert found.suggested is None or found.suggested.peak <= gib * GIB
        return found.fits, found.settings

    assert within(24) == (True, ())
    assert within(12) == (False, ("optimizer.micro_batch=16",))
    checkpointed = "optimizer.gradient_checkpointing=true"
    assert within(6.85)[1] == ("optimizer.micro_batch=8", checkpointed)
    assert within(6.6)[1] == ("optimizer.kind=paged_adamw_8bit", "optimizer.micro_batch=2", checkpointed)
    assert within(4) == (False, None)


def test_two_cards_share_the_words_of_the_layers_and_nothing_else() -> None:
    shape, settings = CatalogueShape(1682), ["run.processes=1", "run.sharding=none"]
    model = architecture_of(published_config("Qwen/Qwen3-32B"))
    shared = estimate(load_recipe("2x24gb-fsdp"), model, shape, "cuda", 2, None).plan
    whole = estimate(load_recipe("2x24gb-fsdp", settings), model, shape, "cuda", 2, None).plan
    words = sum(linear.weights // 2 for linear in model.linears)  # of a layer: half a byte each
    # Two layers are gathered while they are used.
    assert whole.weights - shared.weights == model.layers * words // 2 - 2 * words
    assert shared.adapter == whole.adapter and shared.optimizer == whole.optimizer
    assert shared.gradients == 2 * whole.gradients  # DDP sends them from buckets of its own


def test_more_of_anything_never_takes_less(movielens: Dataset) -> None:
    shape = catalogue_shape(movielens)
    base = load_recipe("gpu-8gb")
    model = architecture_of(published_config(base.model.backbone))

    def peak(*settings: str) -> int:
        return estimate(load_recipe("gpu-8gb", settings), model, shape, "cuda", 2, None).plan.peak

    least = peak("optimizer.micro_batch=4")
    for more in (
        "optimizer.micro_batch=8",
        "rows.history_length=40",
        "adapter.r=16",
        "adapter.dropout=0.1",
        "model.quantization=bf16",
        "mode=branch",
    ):
        assert peak("optimizer.micro_batch=4", more) > least
    for less in (
        "optimizer.gradient_checkpointing=true",
        "optimizer.kind=paged_adamw_8bit",
        "adapter.target_modules=[q_proj, v_proj]",
        "method=lora",
    ):
        assert peak("optimizer.micro_batch=4", less) < least


def test_an_epoch_asks_for_every_position_once(movielens: Dataset) -> None:
    split = movielens.split("loo")
    positions = sum(len(sequence) - 1 for sequence in split.train)
    assert rows_per_epoch(load_recipe("demo-cpu", ["mode=branch"]), split) == positions
    rows = rows_per_epoch(load_recipe("demo-cpu"), split)
    assert positions / 20 <= rows <= positions / 20 + len(split.train)


# ---------------------------------------------------------------- 8-bit states in a checkpoint


def test_8_bit_optimizer_states_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    """bitsandbytes hides its tensors in a dictionary, counts steps in a plain number, shares tables."""
    model = nn.Linear(128, 64)

    def optimizer() -> torch.optim.Optimizer:
        return paged_adamw_8bit([{"params": list(model.parameters()), "lr": 1e-3}], (0.9, 0.999))

    stored = optimizer()
    for index, parameter in enumerate(model.parameters()):
        stored.init_state(stored.param_groups[0], parameter, 0, index)
        stored.state[parameter]["step"] = 7
        for name in ("state1", "state2"):
            held = stored.state[parameter][name]
            held.copy_(torch.randint(0, 255, held.shape))
    save_checkpoint(tmp_path / "checkpoint-7", model, stored, None, "{}")
    loaded = optimizer()
    load_optimizer(loaded, tmp_path / "checkpoint-7")
    for parameter in model.parameters():
        before, after = stored.state[parameter], loaded.state[parameter]
        assert before.keys() == after.keys() and after["step"] == 7
        tensors = [name for name, value in before.items() if isinstance(value, torch.Tensor)]
        assert all(torch.equal(before[name], after[name]) for name in tensors)
        assert {after[name].dtype for name in tensors} == {before[name].dtype for name in tensors}
