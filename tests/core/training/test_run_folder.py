"""A run's folder belongs to one run: nobody else writes there, and its recipe stays the one it began with."""

from pathlib import Path

import pytest

from core.errors import RunBusy, RunError
from core.training.finished import RECIPE
from core.training.prepare import RECORD
from core.training.recipe import load_recipe
from core.training.run import train
from core.training.run_folder import held, open_folder

MINE, OTHER = load_recipe("demo-cpu", ["run.max_steps=7"]), load_recipe("demo-cpu", ["run.max_steps=8"])


def test_a_second_run_changes_nothing_in_a_folder_where_one_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder):
        open_folder(MINE, folder, resume=False)  # its first number, which shuts others out, takes minutes
        before = (folder / RECIPE).read_bytes()
        with pytest.raises(RunBusy, match="is being trained by another process"):
            train(OTHER, folder)
        assert (folder / RECIPE).read_bytes() == before
    assert load_recipe(str(folder / RECIPE)).run.max_steps == 7


def test_a_run_that_began_while_another_waited_for_the_folder_keeps_it(tmp_path: Path) -> None:
    with held(tmp_path):
        open_folder(MINE, tmp_path, resume=False)
        (tmp_path / RECORD).write_text("{}")
    with held(tmp_path), pytest.raises(RunError, match="holds a run already: add --resume"):
        open_folder(OTHER, tmp_path, resume=False)
    assert load_recipe(str(tmp_path / RECIPE)).run.max_steps == 7
