"""Everything that goes wrong on a real machine in the middle of a run: nothing is lost, and it is said."""

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback

from core.errors import RunError, RunStopped
from core.training.checkpoint import FILES, OPTIMIZER, STATE, WEIGHTS, WHOLE, checkpoints, damage
from core.training.faults import is_out_of_memory
from core.training.interrupt import StopWhenAsked
from core.training.recipe import Recipe
from core.training.run import Watch, train

Make = Callable[..., Recipe]
SMALL = (
    "run.max_steps=6",
    "run.evaluate_every=6",
    "run.validation_users=5",
    "optimizer.batch_size=4",
    "optimizer.micro_batch=2",
    # No draw of random numbers in a pass: how rows are cut into passes must then not matter.
    "model.token_dropout=0",
    "model.item_dropout=0",
    "model.compute=fp32",  # bf16 rounds off what is to be equal
)


class At(TrainerCallback):
    """Does something when a step begins (the first is 1)."""

    def __init__(self, step: int, deed: Callable[[nn.Module], object]) -> None:
        self.step, self.deed = step, deed

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            self.deed(kwargs["model"])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoints(run)[-1] / WEIGHTS)


def logs(run: Path) -> list[dict[str, float]]:
    kept = json.loads((checkpoints(run)[-1] / WHOLE).read_text())
    return [entry for entry in kept["log_history"] if "loss" in entry]


@pytest.fixture(scope="module")
def unbroken(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("faults") / "unbroken"
    train(quick_recipe(*SMALL, method="ilora"), run)
    return run


def same_end(run: Path, unbroken: Path) -> bool:
    one, other = weights(run), weights(unbroken)
    return all(torch.equal(one[name], other[name]) for name in other)


def test_a_run_asked_to_stop_ends_its_step_keeps_a_checkpoint_and_goes_on_as_if_never_asked(
    unbroken: Path, quick_recipe: Make, tmp_path: Path
) -> None:
    recipe, run = quick_recipe(*SMALL, method="ilora"), tmp_path / "asked"
    before = signal.getsignal(signal.SIGTERM)
    asking = At(3, lambda model: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(RunStopped, match=r"after step 3 of 6; .*asked goes on with --resume"):
        train(recipe, run, watch=Watch(callbacks=(asking,)))
    assert checkpoints(run)[-1].name == "checkpoint-3" and not (run / "summary.json").exists()
    assert signal.getsignal(signal.SIGTERM) == before
    train(recipe, run, resume=True)
    assert same_end(run, unbroken)


@pytest.fixture
def interrupts(request: pytest.FixtureRequest) -> Iterator[None]:
    """SIGINT as a terminal's program has it, or ignored, as a background job has it."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("interrupts", [signal.default_int_handler], indirect=True)
def test_the_second_signal_has_its_usual_effect_at_once(interrupts: None) -> None:
    with pytest.raises(KeyboardInterrupt), StopWhenAsked() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("interrupts", [signal.SIG_IGN], indirect=True)
def test_what_a_background_job_ignores_stays_ignored(interrupts: None) -> None:
    with StopWhenAsked() as interrupt:
        signal.raise_signal(signal.SIGINT)
    assert not interrupt.asked and signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def cut_short(path: Path) -> None:
    """What a power cut leaves: the length is right, the end was never written."""
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))


def test_a_damaged_newest_checkpoint_is_passed_over_and_that_is_said(
    unbroken: Path, quick_recipe: Make, tmp_path: Path
) -> None:
    recipe, run, told = quick_recipe(*SMALL, method="ilora"), tmp_path / "cut", list[str]()
    with pytest.raises(RunStopped):
        train(recipe, run, watch=Watch(callbacks=(At(5, lambda m: signal.raise_signal(signal.SIGTERM)),)))
    cut_short(checkpoints(run)[-1] / WEIGHTS)
    train(recipe, run, resume=True, watch=Watch(say=told.append))
    assert told == [
        f"checkpoint-5 is damaged ({WEIGHTS} is not as it was written): going on from an earlier one."
    ]
    assert same_end(run, unbroken)


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER, STATE, WHOLE, FILES])
def test_damage_to_any_file_is_found(name: str, unbroken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-6"
    shutil.copytree(checkpoints(unbroken)[-1], folder)
    assert damage(folder) is None
    cut_short(folder / name)
    assert damage(folder) == name
    (folder / name).unlink()
    assert damage(folder) == name


def test_a_full_disk_stops_the_run_with_the_last_checkpoint_whole(quick_recipe: Make, tmp_path: Path) -> None:
    run, (soft, hard) = tmp_path / "full", resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        no_room = At(3, lambda model: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard)))
        with pytest.raises(RunError, match=r"no room to write .*checkpoint-4 \(checkpoint-2 is whole\)"):
            train(quick_recipe(*SMALL, method="ilora"), run, watch=Watch(callbacks=(no_room,)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in checkpoints(run)] == ["checkpoint-2"]
    assert damage(checkpoints(run)[0]) is None and not list(run.glob(".checkpoint*"))


def refuse_more_than(rows: int) -> Callable[[nn.Module], object]:
    """From here on a pass over more rows asks the allocator for more than any machine has."""

    def hook(module: nn.Module, args: Any, kwargs: dict[str, torch.Tensor]) -> None:
        if len(kwargs["words"]) > rows:
            torch.empty(2**60)

    return lambda model: model.register_forward_pre_hook(hook, with_kwargs=True)


def test_the_allocators_own_complaint_is_known_and_others_are_not() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert is_out_of_memory(raised.value) and is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_where_memory_does_not_suffice_passes_are_halved_and_the_same_is_learned(
    unbroken: Path, quick_recipe: Make, tmp_path: Path
) -> None:
    run, told = tmp_path / "halved", list[str]()
    recipe = quick_recipe(*SMALL, "optimizer.micro_batch=4", method="ilora")
    summary = train(recipe, run, watch=Watch(callbacks=(At(2, refuse_more_than(1)),), say=told.append))
    assert [sentence.split(" rows")[0] for sentence in told] == [
        "Memory does not suffice: from step 2 on 2",
        "Memory does not suffice: from step 2 on 1",
    ]
    assert summary["micro_batch"] == 1 and summary["steps"] == 6
    one, other = weights(run), weights(unbroken)  # 1 pass and 4 passes of 1 row against 2 passes of 2 rows
    for name in other:
        assert torch.allclose(one[name], other[name], atol=2e-4, rtol=1e-3), name
    # Rows of passes that failed are not counted: loss, hits and speed are those of the rows learned from.
    for cut, whole in zip(logs(run), logs(unbroken), strict=True):
        assert cut["loss"] == pytest.approx(whole["loss"], abs=1e-3)
        assert cut["accuracy"] == pytest.approx(whole["accuracy"])


def test_a_row_that_does_not_fit_at_all_ends_the_run_with_advice(quick_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not suffice for a single row: shorten"):
        train(
            quick_recipe(*SMALL, method="lora"),
            tmp_path,
            watch=Watch(callbacks=(At(1, refuse_more_than(0)),), say=lambda _: None),
        )


def spoil(model: nn.Module) -> None:
    """One weight becomes no number, as after an overflow."""
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).view(-1)[0] = torch.nan


def test_a_loss_that_is_no_number_stops_the_step_and_keeps_the_batch(
    quick_recipe: Make, tmp_path: Path
) -> None:
    recipe, run = quick_recipe(*SMALL, method="ilora"), tmp_path / "nan"
    with pytest.raises(RunError, match=r"loss is not a number at step 4: the batch is kept in .*number-4"):
        train(recipe, run, watch=Watch(callbacks=(At(4, spoil),)))
    batch = load_file(run / "not-a-number-4.safetensors")
    assert len(batch["words"]) == len(batch["targets"]) == 2
    assert checkpoints(run)[-1].name == "checkpoint-2" and damage(checkpoints(run)[-1]) is None


def test_a_gradient_that_is_no_number_never_reaches_the_weights(quick_recipe: Make, tmp_path: Path) -> None:
    def overflow(model: nn.Module) -> None:
        parameter = next(p for p in model.parameters() if p.requires_grad)
        parameter.register_hook(lambda gradient: gradient * torch.inf)

    with pytest.raises(RunError, match=r"The gradient of .* is not a number at step 3"):
        train(quick_recipe(*SMALL, method="lora"), tmp_path, watch=Watch(callbacks=(At(3, overflow),)))
    assert all(bool(torch.isfinite(w).all()) for w in weights(tmp_path).values())
