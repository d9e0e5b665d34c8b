"""Several processes train what one would: the same rows, losses and weights, one folder, one end for all."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.errors import RecipeError, RunError
from core.training.arguments import training_arguments
from core.training.checkpoint import RANDOM, WHOLE, checkpoints
from core.training.launch import launch
from core.training.machine import check_machine
from core.training.processes import Team, started
from core.training.recipe import Recipe, load_recipe
from core.training.run import train
from core.training.run_folder import open_folder, wanted_in

pytestmark = pytest.mark.timeout(900)  # three processes on cores that may be busy: minutes then, not seconds
Make = Callable[..., Recipe]
SAME = (
    # No draw of random numbers in a pass, so that it does not matter who computes which row.
    "model.token_dropout=0",
    "model.item_dropout=0",
    "optimizer.micro_batch=2",
    "run.validation_users=5",
    "run.max_steps=2",
    "run.evaluate_every=1",
    "run.save_every=1",
    "run.threads=1",
)
TOGETHER = ("run.processes=2",)
SHARED_OUT = (*TOGETHER, "run.sharding=fsdp", "model.storage=bf16")


def history(run: Path) -> list[dict[str, float]]:
    return json.loads((checkpoints(run)[-1] / WHOLE).read_text())["log_history"]


def curve(run: Path) -> dict[int, float]:
    return {int(entry["step"]): entry["loss"] for entry in history(run) if "loss" in entry}


def command(settings: list[str], run: Path, *more: str) -> list[str]:
    laid_over = [part for value in (*settings, *SAME, *more) for part in ("--set", value)]
    return [sys.executable, "-m", "app.cli.main", "train", "--method", "ilora", "--out", str(run), *laid_over]


@pytest.fixture(scope="module")
def alone(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("processes") / "alone"
    train(quick_recipe(*SAME, method="ilora"), run)
    return run


@dataclass(frozen=True)
class Launched:
    """A run by `ilora train --launch` in two processes that has ended."""

    run: Path
    ended: subprocess.CompletedProcess[str]
    each: str


@pytest.fixture(scope="module", params=["whole", "share"])
def together(
    request: pytest.FixtureRequest,
    alone: Path,
    settings: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Launched:
    """The same run in two processes: each holds the whole backbone (DDP), or a share of it (FSDP)."""
    run = tmp_path_factory.mktemp("processes") / f"each-{request.param}"
    asked = [*command(settings, run, *{"whole": TOGETHER, "share": SHARED_OUT}[request.param]), "--launch"]
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=800, check=False)
    return Launched(run, ended, request.param)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(alone: Path, together: Launched) -> None:
    run, ended = together.run, together.ended
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert len(curve(alone)) == 2
    for mine, theirs in zip(history(run), history(alone), strict=True):
        for name in theirs.keys() - {"rows_per_second", "eval_seconds"}:
            # Loss, accuracy, gradient norm, gate and validation alike: a mean over all rows of a step.
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name
    for file in ("adapter/ilora/adapter_model.safetensors", "item_space.safetensors"):
        one, other = load_file(alone / file), load_file(run / file)
        assert one.keys() == other.keys()
        for name in one:
            assert (one[name] - other[name]).abs().max() < 2e-6, name


def test_the_first_process_alone_writes_and_speaks(alone: Path, together: Launched) -> None:
    run, ended = together.run, together.ended

    def files(folder: Path) -> list[str]:
        found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return sorted("events" if "tfevents" in name else name for name in found)

    assert files(run) == files(alone)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["processes"] == 2 and summary["steps"] == 2
    said = " ".join(ended.stderr.split())
    holding = {"whole": "the whole", "share": "a share"}[together.each]
    assert said.count(f"Training in 2 processes (WORLD_SIZE=2) on the CPU, each holding {holding}") == 1
    assert ended.stdout.count("ilora: 2 steps") == 1
    for noise in ("Traceback", "torch/distributed", "Warning", "[transformers]"):
        assert noise not in ended.stderr


def test_a_checkpoint_keeps_the_dropout_of_each_process(together: Launched) -> None:
    kept = load_file(checkpoints(together.run)[-1] / RANDOM)
    assert {"torch", "torch.1"} <= kept.keys()
    assert not kept["torch"].equal(kept["torch.1"])
    assert Team(0, 2).seed(7) == 7
    assert len({Team(rank, 2).seed(seed) for rank in (0, 1) for seed in range(100)}) == 200


LAST_WORDS = """
import atexit, sys
class Held:
    def __del__(self): sys.stderr.write("taken apart")
held = Held()
atexit.register(print, "handler")
print("not flushed yet", end=" ")
"""


@pytest.mark.parametrize("count", (1, 2))
@pytest.mark.parametrize(
    ("ending", "code"),
    (
        ("from core.training.processes import leave; leave(2)", 2),
        ("from app.cli.main import main; sys.argv = ['ilora', '--version']; main()", 0),
    ),
)
def test_one_of_a_team_ends_before_the_interpreter_is_taken_apart(count: int, ending: str, code: int) -> None:
    # There a thread of gloo that still holds a tensor aborts the process: a finished run would look killed.
    environment = os.environ | {"WORLD_SIZE": str(count), "RANK": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", LAST_WORDS + ending],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == code
    assert ended.stdout.startswith("not flushed yet ") and ended.stdout.endswith("handler\n")
    assert ("taken apart" in ended.stderr) == (count == 1)


# ---------------------------------------------------------------- the launcher, with processes that do little


def small(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time; rank = int(os.environ['RANK']); {code}"]


def test_the_code_of_a_process_that_failed_is_the_launchers_and_nobody_is_waited_for() -> None:
    began = time.monotonic()
    assert launch(small("sys.exit(2) if rank else time.sleep(250)"), 2, 1) == 2
    assert time.monotonic() - began < 60
    assert launch(small("sys.exit(0)"), 2, 1) == 0


def test_a_killed_process_ends_the_other_wherever_it_waits() -> None:
    code = (
        "from core.training.processes import joined; from core.errors import PeerEnded\n"
        "try:\n"
        "    with joined() as team:\n"
        "        assert team.told(rank) == 0 and team.gathered(rank) == [0, 1] and team.any(team.first)\n"
        "        if rank: os.kill(os.getpid(), 9)\n"
        "        team.wait()\n"
        "except PeerEnded as ended: print(ended)\n"  # or the launcher ends it first
    )
    with pytest.raises(RunError, match=r"Process 1 was killed \(SIGKILL\) and the others were ended: go on"):
        launch([sys.executable, "-c", f"import os; rank = int(os.environ['RANK'])\n{code}"], 2, 1)


def test_an_interrupt_reaches_every_process_once_and_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import signal; got = []; signal.signal(signal.SIGTERM, lambda n, f: got.append(n));"
        f"here = '{tmp_path}/' + str(rank); open(here, 'w').close();"
        "[time.sleep(0.05) for _ in iter(lambda: bool(got), True)]; time.sleep(1);"
        "open(here, 'w').write(str(got)); sys.exit(0)"
    )

    def ask() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=ask).start()
    assert launch(small(code), 2, 1) == 130
    assert [(tmp_path / rank).read_text() for rank in "01"] == [str([15])] * 2
    assert signal.getsignal(signal.SIGTERM) == before


# ---------------------------------------------------------------- what is refused, before anything is written


@pytest.mark.parametrize(
    ("world", "settings", "advice"),
    [
        ("1", [*TOGETHER, "optimizer.micro_batch=16"], r"one process was started: add --launch"),
        ("2", [], r"2 processes were started \(WORLD_SIZE\), but the recipe's run\.processes=1"),
        ("4", [*TOGETHER, "optimizer.micro_batch=8"], r"add --set run\.processes=4, or start 2"),
    ],
)
def test_another_number_of_processes_than_the_recipes_is_refused(
    world: str, settings: list[str], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    assert started() == int(world)
    with pytest.raises(RecipeError, match=advice):
        train(load_recipe("demo-cpu", settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_resumed_run_goes_on_in_as_many_processes_as_it_began(
    rank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = load_recipe("demo-cpu", [*TOGETHER, "optimizer.micro_batch=16"])
    open_folder(began, tmp_path, resume=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert wanted_in(load_recipe("demo-cpu"), tmp_path, resume=True).run.processes == 2


def test_more_processes_than_gpus_are_refused() -> None:
    recipe = load_recipe("2x24gb-fsdp")
    check_machine(recipe, cuda=True, cards=2, started=2)
    with pytest.raises(RecipeError, match=r"torch sees 1: .*run\.processes=1 --set run\.sharding=none"):
        check_machine(recipe, cuda=True, cards=1)


# ---------------------------------------------------------------- the Trainer's words, and trackers


def test_a_steps_rows_are_divided_among_processes(tmp_path: Path) -> None:
    for processes in (1, 2, 4):
        recipe = load_recipe("demo-cpu", [f"run.processes={processes}", "optimizer.micro_batch=4"])
        arguments = training_arguments(recipe, tmp_path)
        rows = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps * processes
        assert rows == recipe.optimizer.batch_size
        assert arguments.n_gpu <= 1  # never DataParallel behind our back


def test_trackers_are_told_beside_tensorboard_and_stay_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    assert training_arguments(load_recipe("demo-cpu"), tmp_path).report_to == ["tensorboard"]
    assert "WANDB_MODE" not in os.environ
    recipe = load_recipe("demo-cpu", ["run.report_to=[wandb, mlflow]"])
    assert training_arguments(recipe, tmp_path).report_to == ["tensorboard", "wandb", "mlflow"]
    assert os.environ["WANDB_MODE"] == "offline" and os.environ["WANDB_DIR"] == str(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "online")
    training_arguments(recipe, tmp_path)
    assert os.environ["WANDB_MODE"] == "online"


def test_a_tracker_that_is_unknown_or_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"run\.report_to.*'wandb' or 'mlflow'"):
        load_recipe("demo-cpu", ["run.report_to=[comet]"])
    monkeypatch.setattr(sys, "path", [])  # nothing can be found, installed or not
    with pytest.raises(RecipeError, match="names mlflow, which is not installed: pip install mlflow"):
        check_machine(load_recipe("demo-cpu", ["run.report_to=[mlflow]"]))
