"""`ilora evidence` with settings of one's own."""

from pathlib import Path

import pytest

from core.studies.grid import Budget, planned_runs
from core.training.finished import RECIPE, SUMMARY
from core.training.prepare import RECORD
from core.training.recipe import load_recipe
from tests.command_line import ilora

PLACE = ("evidence", "--place", "movielens-loo")
OWN = "model.token_dropout=0.4"


def test_a_setting_is_laid_over_every_run() -> None:
    listed = ilora(*PLACE, "--dry-run", "--set", OWN).stdout.splitlines()
    usual = ilora(*PLACE, "--dry-run").stdout.splitlines()
    assert len(usual) == 9 and [line.replace(f" {OWN}", "") for line in listed] == usual
    assert all(OWN in line for line in listed)


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_of_other_settings_is_not_taken_for_its_own(finished: bool, tmp_path: Path) -> None:
    first, *_ = planned_runs("movielens", "loo", [1], Budget())
    folder = tmp_path / "runs" / first.name
    folder.mkdir(parents=True)
    recipe = load_recipe(first.recipe, first.settings, method=first.method)
    recipe.save(folder / RECIPE)
    if finished:
        (folder / SUMMARY).write_text("{}")
    done = ilora(*PLACE, "--set", OWN, "--runs", str(tmp_path / "runs"))
    found = f"model.token_dropout={recipe.model.token_dropout}"
    assert done.returncode != 0 and found in done.stderr and "--runs" in done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [first.name], "nothing was trained"
    assert not (folder / RECORD).exists(), "nor gone on with"
