"""The grid of the evidence: complete, equal where it must be equal, trained once."""

from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from core.errors import RunError
from core.studies.evidence import is_finished, train_missing
from core.studies.grid import CONTROLS, PLACES, Budget, Planned, planned_runs
from core.training.recipe import Recipe, load_recipe
from core.training.run import Watch


def recipes(dataset: str, split: str) -> dict[str, Recipe]:
    planned = planned_runs(dataset, split, [1, 2], Budget())
    return {
        one.name: load_recipe(one.recipe, one.resolved(Path("runs")), method=one.method) for one in planned
    }


@pytest.mark.parametrize(("dataset", "split"), PLACES)
def test_every_row_of_the_protocol_is_planned_for_every_seed(dataset: str, split: str) -> None:
    found = recipes(dataset, split)
    labels = {(r.label, r.mode, r.run.seed) for r in found.values()}
    for seed in (1, 2):
        for label in ("lora", "ilora", *CONTROLS):
            assert (label, "catalogue", seed) in labels
        for mode in ("branch", "generate"):
            assert {("lora", mode, seed), ("ilora", mode, seed)} <= labels
    assert len(labels) == len(found) == 18
    assert {(r.dataset, r.split) for r in found.values()} == {(dataset, split)}


def test_runs_of_one_mode_and_seed_differ_in_their_method_alone() -> None:
    found = recipes("movielens", "loo")
    for mode in ("catalogue", "generate"):
        for seed in (1, 2):
            plain = []
            for recipe in found.values():
                if (recipe.mode, recipe.run.seed) == (mode, seed):
                    fields = recipe.model_dump(exclude={"method": True, "adapter": {"gate_reads"}})
                    plain.append(fields)
            assert len(plain) >= 2 and all(fields == plain[0] for fields in plain)


def test_a_second_stage_starts_from_the_catalogue_run_of_its_own_method_and_seed() -> None:
    for one in planned_runs("lastfm", "loo", [3], Budget()):
        if one.mode == "branch":
            assert one.start_from == f"lastfm-loo-{one.method}-3"
            assert f"start_from=here/{one.start_from}" in one.resolved(Path("here"))
    with pytest.raises(RunError, match="branch runs start from catalogue runs"):
        list(planned_runs("lastfm", "loo", [3], Budget(), ["branch"]))
    with pytest.raises(RunError, match="no mode text"):
        list(planned_runs("lastfm", "loo", [3], Budget(), ["text"]))


def test_what_is_missing_is_trained_once_and_what_another_trains_is_left_to_it(
    settings: list[str], tmp_path: Path
) -> None:
    tiny = Budget(catalogue=2, branch=1)
    planned = [
        replace(one, settings=(*one.settings, *settings, *one.settings[3:]))
        for one in planned_runs("movielens", "loo", [1], tiny, ["catalogue", "branch"])
        if one.method == "lora"
    ]
    begun: list[str] = []

    def begins(one: Planned, steps: int) -> Watch:
        begun.append(f"{one.name} {steps}")
        return Watch()

    first, second = planned
    (tmp_path / first.name).mkdir()
    with FileLock(tmp_path / first.name / ".lock"):
        assert train_missing(planned, tmp_path, 1, begins) == [first.name, second.name]
    begun.clear()
    assert train_missing(planned, tmp_path, 1, begins) == []
    assert begun == ["movielens-loo-lora-1 2", "movielens-loo-lora-branch-1 1"]
    assert all(is_finished(one, tmp_path) for one in planned)
    assert train_missing(planned, tmp_path, 1, begins) == [] and len(begun) == 2
