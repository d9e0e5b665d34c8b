"""Run folders as they are listed: finished, running, stopped; and what they were not trained alike in."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from app.cli.main import cli
from core.errors import RunError
from core.training.checkpoint import WHOLE
from core.training.finished import RECIPE, SUMMARY
from core.training.listing import LOCK, differing_fields, list_runs, read_listed
from core.training.recipe import load_recipe

Make = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """A run folder with what a killed run leaves, or a finished one."""

    def make(name: str, *settings: str, method: str = "ilora", finished: bool = False) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        load_recipe("demo-cpu", settings, method=method).save(folder / RECIPE)
        state = {
            "global_step": 50,
            "best_metric": 0.25,
            "best_global_step": 40,
            "log_history": [
                {"step": 40, "loss": 6.5},
                {"step": 40, "eval_hr1": 0.25},
                {"step": 50, "loss": 6.25},
            ],
        }
        (folder / "checkpoint-50").mkdir()
        (folder / "checkpoint-50" / WHOLE).write_text(json.dumps(state))
        if finished:
            summary = {
                "steps": 900,
                "best_validation_hr1": 0.5,
                "best_step": 700,
                "training_seconds": 90,
                "alarms": ["Expert 2 is dead."],
                "last_log": {"loss": 5.5},
            }
            (folder / SUMMARY).write_text(json.dumps(summary))
        return folder

    return make


def test_a_killed_run_is_as_far_as_its_newest_checkpoint(made: Make) -> None:
    run = read_listed(made("killed"))
    assert (run.state, run.steps, run.best_hr1, run.best_step, run.loss) == ("stopped", 50, 0.25, 40, 6.25)


def test_a_run_that_a_process_holds_is_running(made: Make) -> None:
    folder = made("held")
    with FileLock(folder / LOCK):
        assert read_listed(folder).state == "running"
    assert read_listed(folder).state == "stopped"


def test_a_finished_run_tells_what_it_reported(made: Make) -> None:
    run = read_listed(made("done", finished=True))
    assert (run.state, run.steps, run.best_hr1, run.minutes) == ("finished", 900, 0.5, 1.5)
    assert run.alarms == ("Expert 2 is dead.",)


def test_a_run_before_its_first_checkpoint_is_listed_too(made: Make, tmp_path: Path) -> None:
    folder = made("fresh")
    (folder / "checkpoint-50" / WHOLE).unlink()
    run = read_listed(folder)
    assert (run.state, run.steps, run.best_hr1, run.loss) == ("stopped", 0, None, None)


def test_runs_are_found_however_deep_and_compared_field_by_field(made: Make, tmp_path: Path) -> None:
    made("a", "run.seed=2")
    made("deep/b", "optimizer.batch_size=64", method="lora")
    runs = list_runs(tmp_path)
    assert [run.name for run in runs] == ["a", "b"]
    assert differing_fields(runs) == {
        "method": ["ilora", "lora"],
        "optimizer.batch_size": [32, 64],
        "run.seed": [2, 1],
    }
    with pytest.raises(RunError, match="holds no run"):
        read_listed(tmp_path)


def test_the_command_lists_a_folder_and_compares_what_is_named(made: Make, tmp_path: Path) -> None:
    one, other = made("one", finished=True), made("other", "run.seed=7")
    listed = CliRunner().invoke(cli, ["runs", str(tmp_path)])
    assert listed.exit_code == 0, listed.output
    steps = load_recipe("demo-cpu").run.max_steps
    assert f"900/{steps}" in listed.output
    assert "stopped" in listed.output and "Expert 2 is dead" in listed.output
    told = json.loads(CliRunner().invoke(cli, ["runs", str(one), str(other), "--json"]).output)
    assert told["differ_in"] == {"run.seed": [1, 7]}
    assert [run["state"] for run in told["runs"]] == ["finished", "stopped"]
    nothing = CliRunner().invoke(cli, ["runs", str(tmp_path / "none")])
    assert isinstance(nothing.exception, RunError)
