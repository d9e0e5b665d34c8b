"""Train what a grid lacks; resumable, and shared by several processes.

A process takes the next run that nobody else is training, so the same command started once per core fills the
machine; whoever comes last finds everything done.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from core.errors import RunBusy, RunError
from core.studies.grid import Planned
from core.training.finished import RECIPE, SUMMARY, read_recipe
from core.training.recipe import load_recipe
from core.training.run import Watch, train

OWN = ("run.threads", "model.compute")
"""What a machine settles for itself."""

Begins = Callable[[Planned, int], Watch]
"""Told a run and its steps when its training begins; gives who watches it."""


def is_finished(planned: Planned, runs: Path) -> bool:
    """Whether a run's folder holds its end."""
    return (runs / planned.name / SUMMARY).is_file()


def train_missing(planned: Sequence[Planned], runs: Path, threads: int, begins: Begins) -> list[str]:
    """Train the runs that are not finished, one after the other.

    Args:
        planned: in an order in which they can be trained.
        runs: folder of all run folders.
        threads: CPU threads of torch; a run that goes on keeps its own.

    Returns:
        Names of the runs that are left to another process, which is training them or what they start from.

    Raises:
        RunError: as `check_planned`: a run that was begun otherwise is not gone on with.
    """
    check_planned(planned, runs)
    left = []
    for one in planned:
        check_planned([one], runs)  # again: another process may have begun or finished it meanwhile
        if is_finished(one, runs):
            continue
        if one.start_from is not None and not (runs / one.start_from / SUMMARY).is_file():
            left.append(one.name)
            continue
        folder = runs / one.name
        settings = [*one.resolved(runs), f"run.threads={threads}"]
        recipe = load_recipe(one.recipe, settings, method=one.method)
        try:
            train(
                recipe,
                folder,
                resume=(folder / RECIPE).is_file(),
                watch=begins(one, recipe.run.max_steps),
            )
        except RunBusy:
            left.append(one.name)
    return left


def check_planned(planned: Iterable[Planned], runs: Path) -> None:
    """That runs which are there are those that are planned, and not of other steps or settings under a name.

    Begun ones count as finished ones do: who goes on with a run, or measures it, does so by its own recipe.

    Raises:
        RunError: naming the first field that differs.
    """
    for one in planned:
        folder = runs / one.name
        if not (folder / RECIPE).is_file():
            continue
        wanted = load_recipe(one.recipe, one.resolved(runs), method=one.method).flat()
        found = read_recipe(folder).flat()
        for name, value in wanted.items():
            if name not in OWN and found[name] != value:
                raise RunError(
                    f"{folder} was trained with {name}={found[name]}, and {value} is asked for: name another "
                    "folder with --runs, or remove this run."
                )
