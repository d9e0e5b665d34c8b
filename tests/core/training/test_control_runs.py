"""Runs of the controls: resumed, told apart, watched and refused as they should be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.data.dataset import Dataset
from core.errors import RecipeError
from core.evaluation.asking import route_cases
from core.gate_reading import gate_reading
from core.training.alarms import gate_alarms
from core.training.checkpoint import WEIGHTS, checkpoints
from core.training.finished import open_ranker, read_finished
from core.training.recipe import Recipe, load_recipe
from core.training.run import Validation, Watch, train
from core.training.trainer import gate_numbers
from quant.backbone import load_backbone
from tests.core.training.test_training_run import StopAfter, losses

Make = Callable[..., Recipe]
CONTROLS = ("static", "random", "shuffled")


@pytest.fixture(scope="module")
def shuffled_run(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("controls") / "shuffled"
    train(quick_recipe("adapter.gate_reads=shuffled", "run.max_steps=4", method="ilora"), run)
    return run


def test_a_shuffled_run_stopped_half_way_and_resumed_equals_the_unbroken_one(
    shuffled_run: Path, quick_recipe: Make, tmp_path: Path
) -> None:
    run, recipe = tmp_path / "halved", quick_recipe("adapter.gate_reads=shuffled", "run.max_steps=4")
    train(recipe, run, watch=Watch(callbacks=(StopAfter(2),)))
    train(recipe, run, resume=True)
    assert len(losses(run)) == 2 and losses(run) == losses(shuffled_run)
    whole, halved = (load_file(checkpoints(r)[-1] / WEIGHTS) for r in (shuffled_run, run))
    assert all(torch.equal(whole[name], halved[name]) for name in whole)


def test_a_control_run_says_which_it_is_and_validates_as_it_trains(
    shuffled_run: Path, shallow_folder: Path, movielens: Dataset
) -> None:
    summary = json.loads((shuffled_run / "summary.json").read_text())
    assert (summary["method"], summary["control"]) == ("ilora", "shuffled")
    run = read_finished(shuffled_run)
    assert (run.recipe.control, run.recipe.label) == ("shuffled", "shuffled")

    recipe, split = run.recipe, movielens.split("loo")
    ranker, router = open_ranker(run, load_backbone(str(shallow_folder), "fp32", device="cpu"), movielens)
    asked: dict[str, Tensor] = {}
    for reads in ("history", *CONTROLS):
        section = recipe.adapter.model_copy(update={"gate_reads": reads})
        other = recipe.model_copy(update={"adapter": section})
        reading = gate_reading(other, run.prepared.encoder, split, run.prepared.features.text)
        Validation(movielens, other, run.prepared, ranker.model, ranker.wording, reading)()
        last = ranker.model.last_gate()
        assert last is not None
        asked[reads] = last
        cases = split.validation[:20]
        whose = [case.user for case in cases]
        read = [case.history for case in cases]
        expected = reading.mixtures(router.gate, route_cases(router, cases), whose, read)
        torch.testing.assert_close(last, torch.from_numpy(expected))
    assert asked["static"].std(0).max() < 1e-7 < 1e-4 < asked["history"].std(0).max()
    assert not torch.allclose(asked["shuffled"], asked["history"], atol=1e-4)
    assert not torch.allclose(asked["random"], asked["history"], atol=1e-4)


def test_a_flat_gate_is_a_failure_of_ilora_and_expected_of_a_control() -> None:
    flat = gate_numbers(torch.full((100, 4), 0.25))
    assert len(gate_alarms(flat)) == 1
    assert [gate_alarms(flat, control) for control in CONTROLS] == [[], [], []]
    dead = gate_numbers(torch.tensor([[0.5, 0.5, 0.0, 0.0]]).expand(100, 4))
    assert len(gate_alarms(dead, "static")) == 2  # two dead experts are told all the same


def test_a_control_without_a_gate_is_refused() -> None:
    for setting, method in (("adapter.num_experts=4", "lora"), ("adapter.num_experts=1", "ilora")):
        with pytest.raises(RecipeError, match=r'adapter\.gate_reads="static" needs method="ilora"'):
            load_recipe("demo-cpu", ["adapter.gate_reads=static", setting], method=method)
    with pytest.raises(RecipeError, match=r"adapter\.gate_reads"):
        load_recipe("demo-cpu", ["adapter.gate_reads=noise"])
    assert [load_recipe("demo-cpu", method=m).label for m in ("lora", "ilora")] == ["lora", "ilora"]
