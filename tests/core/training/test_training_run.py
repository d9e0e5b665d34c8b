"""Whole runs on real data: they learn, stop and go on as if never stopped, and survive a kill."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from core.errors import RecipeError, RunError
from core.training.checkpoint import FILES, STATE, WEIGHTS, WHOLE, checkpoints
from core.training.recipe import Recipe, load_recipe, recipe_names
from core.training.run import Watch, train

Make = Callable[..., Recipe]


class StopAfter(TrainerCallback):
    """A clean stop after some steps, checkpoint included."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop |= state.global_step >= self.step


def losses(run: Path) -> dict[int, float]:
    history = json.loads((checkpoints(run)[-1] / WHOLE).read_text())["log_history"]
    return {entry["step"]: entry["loss"] for entry in history if "loss" in entry}


@pytest.fixture(scope="module")
def unbroken(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    train(quick_recipe(method="ilora"), run)
    return run


def test_half_the_steps_and_resume_equal_all_steps(
    unbroken: Path, quick_recipe: Make, tmp_path: Path
) -> None:
    run = tmp_path / "halved"
    train(quick_recipe(method="ilora"), run, watch=Watch(callbacks=(StopAfter(4),)))
    assert [p.name for p in checkpoints(run)][-1] == "checkpoint-4"
    train(quick_recipe(method="ilora"), run, resume=True)
    assert losses(run) == losses(unbroken)
    assert len(losses(run)) == 4  # logged every second step of eight
    whole, halved = (load_file(checkpoints(r)[-1] / WEIGHTS) for r in (unbroken, run))
    assert all(torch.equal(whole[name], halved[name]) for name in whole)


def test_a_killed_run_resumes_and_ends_like_an_unbroken_one(
    unbroken: Path, settings: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    laid_over = [part for value in settings for part in ("--set", value)]
    command = [
        sys.executable,
        "-m",
        "app.cli.main",
        "train",
        "--method",
        "ilora",
        "--out",
        str(run),
        *laid_over,
    ]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not checkpoints(run) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.kill()  # SIGKILL: no handler, no farewell
    child.wait()
    assert checkpoints(run), "no checkpoint was written before the deadline"
    assert not (run / "summary.json").exists(), "the run ended before it could be killed"
    finished = subprocess.run(
        [*command, "--resume"], capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert losses(run) == losses(unbroken)


def test_checkpoints_hold_safetensors_and_json_only(unbroken: Path) -> None:
    files = {p.name for folder in checkpoints(unbroken) for p in folder.iterdir()}
    assert files == {WEIGHTS, "optimizer.safetensors", "random.safetensors", STATE, FILES, WHOLE}
    assert len(checkpoints(unbroken)) == 2  # recipe: run.keep
    assert not list(unbroken.glob(".checkpoint-*"))


def test_a_checkpoint_cut_short_is_not_taken_for_whole(unbroken: Path) -> None:
    newest = checkpoints(unbroken)[-1]
    marker = newest / WHOLE
    text = marker.read_text()
    try:
        marker.unlink()
        assert newest not in checkpoints(unbroken)
    finally:
        marker.write_text(text)


def test_the_run_folder_alone_repeats_the_run(unbroken: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    train(load_recipe(str(unbroken / "recipe.yaml")), again)
    assert losses(again) == losses(unbroken)


def test_the_summary_says_what_was_trained(unbroken: Path) -> None:
    summary = json.loads((unbroken / "summary.json").read_text())
    assert summary["steps"] == 8 and summary["method"] == "ilora"
    assert summary["parameters"]["gate"] == 4 * 32 + 4
    assert 0 < summary["parameters"]["gate"] < 0.01 * summary["parameters"]["lora"]
    assert [v["step"] for v in summary["validations"]] == [4, 8]
    shares = [v for k, v in summary["last_log"].items() if k.startswith("gate_share_")]
    assert len(shares) == 4 and sum(shares) == pytest.approx(1, abs=1e-4)
    assert summary["last_log"]["gate_entropy"] <= 1.3863
    assert list((unbroken).glob("runs/*/events.out.tfevents.*")) or list(
        unbroken.rglob("events.out.tfevents.*")
    )


def test_both_methods_stand_on_the_same_encoder_and_items(
    quick_recipe: Make, tmp_path: Path, unbroken: Path
) -> None:
    run = tmp_path / "lora"
    train(quick_recipe(method="lora"), run, watch=Watch(callbacks=(StopAfter(2),)))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["parameters"]["gate"] == 0
    assert (run / "prepared.safetensors").read_bytes() == (unbroken / "prepared.safetensors").read_bytes()


def test_branch_mode_trains_a_head_on_a_frozen_run(
    unbroken: Path, quick_recipe: Make, tmp_path: Path
) -> None:
    run = tmp_path / "head"
    more = ["optimizer.micro_batch=8", "run.max_steps=4", "rows.candidates=5"]
    train(quick_recipe(*more, method="ilora", mode="branch", trained="head", start_from=str(unbroken)), run)
    weights = load_file(checkpoints(run)[-1] / WEIGHTS)
    assert weights and all(name.startswith("model.branches.ilora") for name in weights)
    first = load_file(unbroken / "adapter" / "ilora" / "adapter_model.safetensors")
    second = load_file(run / "adapter" / "ilora" / "adapter_model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_does_not_go_on_over_another_split(unbroken: Path, quick_recipe: Make, tmp_path: Path) -> None:
    """Each split trains on answers of the other: published users on their whole sequences."""
    recipe = quick_recipe(method="ilora", split="paper", start_from=str(unbroken))
    with pytest.raises(
        RunError, match=r"split loo, which trains on answers that paper asks for: .*split=loo"
    ):
        train(recipe, tmp_path / "run")


def test_bad_requests_are_refused_in_one_sentence(unbroken: Path, quick_recipe: Make, tmp_path: Path) -> None:
    recipe = quick_recipe(method="ilora")
    with pytest.raises(RunError, match="add --resume"):
        train(recipe, unbroken)
    with pytest.raises(RunError, match="no run to resume"):
        train(recipe, tmp_path / "nothing", resume=True)
    with pytest.raises(RecipeError, match="neither a recipe"):
        load_recipe("no-such-recipe")
    with pytest.raises(RecipeError, match=r"adapter\.num_experts=3 must divide"):
        load_recipe("demo-cpu", ["adapter.num_experts=3"])
    with pytest.raises(RecipeError, match=r"run\.max_step"):
        load_recipe("demo-cpu", ["run.max_step=3"])
    with pytest.raises(RecipeError, match=r"section\.field=value"):
        load_recipe("demo-cpu", ["max_steps"])


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_product_is_valid_and_says_how_to_run_it(name: str) -> None:
    assert load_recipe(name)
    text = (Path(__file__).parents[3] / "core" / "recipes" / f"{name}.yaml").read_text()
    assert "ilora train --recipe" in text.split("dataset:")[0]
