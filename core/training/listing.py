"""What the run folders of a folder are and how far they have come, without loading anything heavy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from core.errors import RunError
from core.training.checkpoint import WHOLE, checkpoints
from core.training.finished import RECIPE, START, SUMMARY
from core.training.recipe import Recipe, load_recipe

LOCK = ".lock"
State = Literal["finished", "running", "stopped"]


@dataclass(frozen=True)
class ListedRun:
    """One run folder.

    Attributes:
        folder: where it lies.
        recipe: as it was resolved when the run began.
        state: finished; running (a process holds it); stopped (goes on with --resume).
        steps: optimizer steps done, as of the newest checkpoint.
        best_hr1: best validation HR@1 so far; None before the first validation.
        best_step: where it was reached.
        loss: of the last log; None before the first.
        minutes: of training steps; None while unknown.
        alarms: what a finished run reported about itself.
    """

    folder: Path
    recipe: Recipe
    state: State
    steps: int
    best_hr1: float | None
    best_step: int | None
    loss: float | None
    minutes: float | None
    alarms: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


def list_runs(folder: Path) -> list[ListedRun]:
    """Every run folder beneath a folder, however deep, in the order of their paths.

    Without the runs that they went on from.
    """
    return [
        read_listed(path.parent)
        for path in sorted(folder.rglob(RECIPE))
        if START not in path.relative_to(folder).parts
    ]


def read_listed(folder: Path) -> ListedRun:
    """One run folder.

    Raises:
        RunError: it holds no run.
    """
    if not (folder / RECIPE).is_file():
        raise RunError(f"{folder} holds no run ({RECIPE} is missing): name a folder that `ilora train` made.")
    recipe = load_recipe(str(folder / RECIPE))
    if (folder / SUMMARY).is_file():
        return _finished(folder, recipe, json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
    saved = checkpoints(folder)
    state = json.loads((saved[-1] / WHOLE).read_text(encoding="utf-8")) if saved else {}
    losses = [entry["loss"] for entry in state.get("log_history", []) if "loss" in entry]
    return ListedRun(
        folder=folder,
        recipe=recipe,
        state="running" if _is_held(folder / LOCK) else "stopped",
        steps=state.get("global_step", 0),
        best_hr1=state.get("best_metric"),
        best_step=state.get("best_global_step"),
        loss=losses[-1] if losses else None,
        minutes=None,
        alarms=(),
    )


def _finished(folder: Path, recipe: Recipe, summary: Mapping[str, Any]) -> ListedRun:
    seconds = summary.get("training_seconds")
    return ListedRun(
        folder=folder,
        recipe=recipe,
        state="finished",
        steps=summary["steps"],
        best_hr1=summary.get("best_validation_hr1"),
        best_step=summary.get("best_step"),
        loss=(summary.get("last_log") or {}).get("loss"),
        minutes=None if seconds is None else seconds / 60,
        alarms=tuple(summary.get("alarms", ())),
    )


def _is_held(lock: Path) -> bool:
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def differing_fields(runs: list[ListedRun]) -> dict[str, list[Any]]:
    """Recipe fields (`optimizer.batch_size`) in which runs differ, each with one value per run."""
    flat = [run.recipe.flat() for run in runs]
    return {
        field: [values[field] for values in flat]
        for field in flat[0]
        if any(values[field] != flat[0][field] for values in flat[1:])
    }
