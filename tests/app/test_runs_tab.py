"""The tab "Runs": runs with their state, verdict, and the one command that makes something of them."""

import json
import os
from pathlib import Path

import yaml

from app.web import runs
from app.web.lines import Line, line_chart
from core.training.curves import Curve
from core.training.listing import read_listed
from core.training.recipe import load_recipe


def _run(
    folder: Path, method: str, finished: bool = True, seed: int = 1, alarms: tuple[str, ...] = ()
) -> Path:
    recipe = load_recipe("demo-cpu", [f"run.seed={seed}"], method=method)
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    if finished:
        told = {
            "steps": 40,
            "best_step": 30,
            "best_validation_hr1": 0.25,
            "training_seconds": 120,
            "alarms": alarms,
        }
        (folder / "summary.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def test_an_empty_folder_names_the_command_that_fills_it(tmp_path: Path) -> None:
    assert runs.found_runs(tmp_path / "nowhere") == []
    assert "ilora train" in runs.table(tmp_path, [], "")


def test_a_pair_trained_alike_is_told_the_bundle_command(tmp_path: Path) -> None:
    _run(tmp_path / "x-ilora", "ilora")
    _run(tmp_path / "other", "lora", seed=2)
    _run(tmp_path / "x-lora", "lora")
    found = runs.found_runs(tmp_path)
    for name in ("x-ilora", "x-lora"):
        told = runs.what_next(read_listed(tmp_path / name), found)
        assert f"--ilora {tmp_path}/x-ilora --lora {tmp_path}/x-lora" in told
    alone = runs.what_next(read_listed(tmp_path / "other"), found)
    assert "ilora bundle" not in alone and "--method ilora" in alone


def test_a_stopped_run_is_told_how_to_go_on(tmp_path: Path) -> None:
    run = read_listed(_run(tmp_path / "x", "ilora", finished=False))
    assert "--resume" in runs.what_next(run, [run]) and "Stopped" in runs.verdict(run)


def test_names_and_alarms_are_text_and_the_newest_stands_first(tmp_path: Path) -> None:
    _run(tmp_path / "<b>old", "ilora", alarms=("Expert <2> is dead.",))
    _run(tmp_path / "new", "lora")
    os.utime(tmp_path / "<b>old", (1e9, 1e9))
    found = runs.found_runs(tmp_path)
    assert [run.name for run in found] == ["new", "<b>old"]
    html = runs.table(tmp_path, found, "new") + runs.detail(tmp_path, found[1], found, {})
    assert "<b>old" not in html and "Expert &lt;2&gt; is dead." in html
    assert "Finished after 40 steps in 2 min: best validation HR@1 0.250 at step 30" in html
    assert html.count('aria-pressed="true"') == 1


def test_lora_shows_no_gate_and_a_chart_says_its_numbers(tmp_path: Path) -> None:
    run = read_listed(_run(tmp_path / "x", "lora"))
    assert "no training log" in runs.curves(run, {})
    drawn = runs.curves(run, {"train/loss": Curve((1, 40), (7.25, 3.5))})
    assert "Gate entropy" not in drawn
    assert "Loss from 7.25 at step 1 to 3.5 at step 40" in drawn and drawn.count("nothing logged yet") == 2


def test_a_flat_line_and_numbers_that_are_none_are_drawn() -> None:
    assert "polyline" in line_chart("Loss", "", Line("Loss", (1, 2), (2.0, 2.0)), 10)
    assert "nothing logged yet" in line_chart("Loss", "", Line("Loss", (1,), (float("nan"),)), 10)
