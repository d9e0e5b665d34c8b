"""A search trains what it proposes, remembers it, stops the hopeless, and goes on after any stop."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from transformers import TrainerCallback

from core.errors import RecipeError, RunError, RunStopped
from core.training.finished import SUMMARY
from core.training.recipe import Recipe, load_recipe
from core.training.run import Watch
from core.tuning.search import Search, tune
from core.tuning.space import read_space

SHORT = (
    "run.max_steps=2",
    "run.evaluate_every=1",
    "run.validation_users=5",
    "run.save_every=1",
    "optimizer.batch_size=2",
    "optimizer.micro_batch=2",
)


def quiet(number: int, recipe: Recipe, settings: Sequence[str]) -> Watch:
    return Watch()


@pytest.fixture
def search(settings: list[str], tmp_path: Path) -> Callable[..., Search]:
    def make(*space: str, **more: Any) -> Search:
        wanted = read_space(space or ("optimizer.adapter_lr=log:1e-4:1e-3", "adapter.r=choice:4,8"))
        return Search(
            "demo-cpu", (*settings, *SHORT), wanted, tmp_path / "study", **{"method": "lora", **more}
        )

    return make


def test_a_space_is_read_as_it_is_written() -> None:
    space = read_space(["a.b=log:1e-4:1e-2", "c=float:0:0.3", "d=int:2:8", "e=choice:4,true,late_positions"])
    assert space.fields == {
        "a.b": FloatDistribution(1e-4, 1e-2, log=True),
        "c": FloatDistribution(0, 0.3),
        "d": IntDistribution(2, 8),
        "e": CategoricalDistribution([4, True, "late_positions"]),
    }


@pytest.mark.parametrize("text", ["r", "r=", "r=choice", "r=log:1", "r=log:x:y", "r=normal:0:1", "=int:1:2"])
def test_what_is_no_space_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(RecipeError, match="write field=log"):
        read_space([text])
    with pytest.raises(RecipeError, match="at least one field"):
        read_space([])


def test_every_trial_is_a_run_of_its_own_with_its_settings_and_its_value(
    search: Callable[..., Search],
) -> None:
    asked = search()
    done = tune(asked, 2, quiet)
    assert [(trial.number, trial.state) for trial in done] == [(0, "complete"), (1, "complete")]
    for trial in done:
        recipe = load_recipe(str(asked.folder / trial.run / "recipe.yaml"))
        assert trial.settings == (
            f"optimizer.adapter_lr={recipe.optimizer.adapter_lr}",
            f"adapter.r={recipe.adapter.r}",
        )
        assert recipe.method == "lora" and trial.value is not None and 0 <= trial.value <= 1
    assert tune(asked, 2, quiet) == done  # what is there is not trained again
    assert len({trial.settings for trial in tune(asked, 3, quiet)}) == 3  # nor proposed again


def test_a_stopped_search_goes_on_with_the_trial_it_was_at(search: Callable[..., Search]) -> None:
    asked = search()

    class AskToStop(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(RunStopped):
        tune(asked, 1, lambda number, recipe, settings: Watch(callbacks=(AskToStop(),)))
    assert not (asked.folder / "trial-000" / SUMMARY).exists()
    [trial] = tune(asked, 1, quiet)
    assert (trial.state, trial.run) == ("complete", "trial-000")
    assert (asked.folder / "trial-000" / SUMMARY).is_file()


def test_a_trial_of_a_killed_process_is_taken_up_again(search: Callable[..., Search]) -> None:
    asked = search()
    killed = asked.study().ask()  # in the study it runs for ever
    asked.space.suggest(killed)
    killed.set_user_attr("run", "trial-000")
    [trial] = tune(asked, 1, quiet)
    assert trial.run == "trial-000" and trial.number == 1
    assert trial.settings == tuple(f"{name}={value}" for name, value in killed.params.items())


def test_settings_that_do_not_fit_together_cost_nothing_and_are_marked(search: Callable[..., Search]) -> None:
    asked = search("adapter.num_experts=choice:3", method=None)
    [trial] = tune(asked, 1, quiet)
    assert trial.state == "pruned" and trial.value is None and not (asked.folder / trial.run).exists()


def test_a_folder_holds_one_search(search: Callable[..., Search]) -> None:
    search().study()
    with pytest.raises(RunError, match="holds another search"):
        search("adapter.r=choice:4,8").study()


def test_what_has_fallen_behind_is_stopped_early(search: Callable[..., Search]) -> None:
    asked = search()
    study = asked.study()
    for value in (0.9, 0.9, 0.9, 0.9):  # four trials that nobody can catch up with
        done = study.ask()
        asked.space.suggest(done)
        for step in (1, 2):
            done.report(value, step)
        study.tell(done, value)
    *_, trial = tune(asked, 5, quiet)
    assert trial.state == "pruned" and trial.value is not None and trial.value < 0.9
    assert set(study.trials[-1].intermediate_values) == {1}  # of two steps
    assert not (asked.folder / trial.run / SUMMARY).exists()
