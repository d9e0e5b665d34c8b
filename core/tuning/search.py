"""The search itself: Optuna proposes settings, a run is trained with each, validation users judge.

The study lies in SQLite beside the run folders. Killed at any moment, the same search goes on: the trial that
was running is trained on from its own checkpoint. Test users are never asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from transformers import TrainerCallback, TrainerControl, TrainerState

from core.errors import RecipeError, RunError, RunStopped
from core.training.finished import RECIPE
from core.training.recipe import Recipe, load_recipe
from core.training.run import Watch, train
from core.tuning.space import Space

STUDY = "study.db"
RUN = "run"
"""Name of the attribute that holds a trial's run folder."""
TAKEN_UP = "taken up"
"""Name of the study's attribute that lists trials which were stopped and go on under another number."""
Metric = Literal["hr1", "ndcg10"]
Begins = Callable[[int, Recipe, Sequence[str]], Watch]
"""Told a trial's number, recipe and settings when its training begins; gives who watches it."""


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        number: counted from 0.
        state: complete, pruned (hopeless, stopped early), failed or running.
        value: of the metric on validation users; for a pruned trial the last one seen; None before the first.
        settings: what was laid over the recipe.
        run: its run folder's name.
    """

    number: int
    state: str
    value: float | None
    settings: tuple[str, ...]
    run: str


@dataclass(frozen=True)
class Search:
    """What is searched and how.

    Attributes:
        recipe: a recipe's name or file.
        settings: laid over it in every trial.
        space: what varies.
        folder: of the study and its run folders.
        metric: of validation users, the higher the better.
        method: lora or ilora; None is the recipe's own.
        seed: of the proposals.
    """

    recipe: str
    settings: tuple[str, ...]
    space: Space
    folder: Path
    metric: Metric = "hr1"
    method: str | None = None
    seed: int = 1

    def study(self) -> optuna.Study:
        """The study in the folder, made when missing.

        Raises:
            RunError: the folder holds a study of another recipe or space.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{(self.folder / STUDY).resolve()}"
        study = optuna.create_study(
            storage=storage,
            study_name="tune",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )
        # Proposals go on differently after every trial that is there: a resumed search repeats none.
        study.sampler = TPESampler(seed=self.seed + len(study.trials))
        asked = {
            "recipe": self.recipe,
            "settings": list(self.settings),
            "method": self.method,
            "metric": self.metric,
            "space": {name: str(how) for name, how in self.space.fields.items()},
        }
        told = study.user_attrs.get("asked")
        if told is not None and told != asked:
            raise RunError(f"{self.folder} holds another search: name another --out for this one.")
        if told is None:
            study.set_user_attr("asked", asked)
        return study


def tune(search: Search, trials: int, begins: Begins) -> list[Trial]:
    """Run a search until it has so many trials that came to an end; returns all of them.

    Raises:
        RunStopped: a run was asked to stop; the same call goes on with it.
        RunError, RecipeError: a run cannot be trained; the trial is marked as failed.
    """
    study = search.study()
    _take_up_again(study)
    while sum(trial.state.is_finished() for trial in _own(study)) < trials:
        study.optimize(lambda trial: _train(search, study, trial, begins), n_trials=1)
    return read_trials(study)


def read_trials(study: optuna.Study) -> list[Trial]:
    """Trials of a study, without those that were taken up again under another number."""
    return [
        Trial(
            number=trial.number,
            state="failed" if trial.state == TrialState.FAIL else trial.state.name.lower(),
            value=trial.value if trial.value is not None else _last(trial),
            settings=tuple(f"{name}={value}" for name, value in trial.params.items()),
            run=trial.user_attrs.get(RUN, ""),
        )
        for trial in _own(study)
    ]


def _train(search: Search, study: optuna.Study, trial: optuna.Trial, begins: Begins) -> float:
    varied = search.space.suggest(trial)
    run = trial.user_attrs.get(RUN) or f"trial-{trial.number:03d}"
    trial.set_user_attr(RUN, run)
    try:
        recipe = load_recipe(search.recipe, [*search.settings, *varied], method=search.method)
    except RecipeError as error:  # such as experts that do not divide the rank: nothing to train
        trial.set_user_attr("refused", str(error))
        raise optuna.TrialPruned from error
    folder = search.folder / run
    watch = begins(trial.number, recipe, varied)
    watched = Watch(watch.step, watch.encoder, (*watch.callbacks, _Judge(trial, search.metric)), watch.say)
    try:
        summary = train(recipe, folder, resume=(folder / RECIPE).is_file(), watch=watched)
    except RunStopped:
        _again(study, trial.number, trial.params, run)
        raise
    values = [v[f"eval_{search.metric}"] for v in summary["validations"]]
    if not values:
        raise RunError(f"{folder} was never validated: set run.evaluate_every to at most run.max_steps.")
    return float(max(values))


class _Judge(TrainerCallback):
    """Reports every validation to the study, and stops what has fallen behind."""

    def __init__(self, trial: optuna.Trial, metric: Metric) -> None:
        self.trial, self.name = trial, f"eval_{metric}"

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        self.trial.report((metrics or {})[self.name], state.global_step)
        if state.global_step < state.max_steps and self.trial.should_prune():
            raise optuna.TrialPruned


def _take_up_again(study: optuna.Study) -> None:
    """Trials of a killed process are proposed again first, and go on in their own run folders."""
    for trial in study.trials:
        if trial.state == TrialState.RUNNING:
            _again(study, trial.number, trial.params, trial.user_attrs.get(RUN, ""))
            study.tell(trial.number, state=TrialState.FAIL)


def _again(study: optuna.Study, number: int, params: dict[str, Any], run: str) -> None:
    study.enqueue_trial(params, user_attrs={RUN: run} if run else None)
    study.set_user_attr(TAKEN_UP, [*study.user_attrs.get(TAKEN_UP, []), number])


def _own(study: optuna.Study) -> list[FrozenTrial]:
    taken_up = study.user_attrs.get(TAKEN_UP, [])
    return [trial for trial in study.trials if trial.number not in taken_up]


def _last(trial: FrozenTrial) -> float | None:
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else None
