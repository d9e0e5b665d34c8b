"""Were two runs trained alike? What differs between recipes is said beside every comparison of them."""

from collections.abc import Sequence
from typing import Any

from core.evaluation.run_identity import encoder_identity, label_of
from core.training.finished import FinishedRun

MEANT = ("method", "adapter.num_experts", "adapter.gate", "run.seed", "run.threads", "start_from")
"""Fields, or beginnings of them, in which runs of one comparison differ on purpose."""


def unfair(runs: Sequence[FinishedRun]) -> list[str]:
    """One sentence per difference that a comparison of these runs would not mean; none when they are alike.

    Runs of one mode are held against the first of them; runs of one seed must share their encoder.
    """
    told = []
    for mode in dict.fromkeys(run.recipe.mode for run in runs):
        first, *others = [run for run in runs if run.recipe.mode == mode]
        for other in others:
            told += [
                f"{field} is {mine} in {_name(first)} and {yours} in {_name(other)}."
                for field, mine, yours in _differences(first, other)
            ]
    for seed in dict.fromkeys(run.recipe.run.seed for run in runs):
        same = [run for run in runs if run.recipe.run.seed == seed]
        encoders = {encoder_identity(run).run: run for run in reversed(same)}
        if len(encoders) > 1:
            names = ", ".join(_name(run) for run in encoders.values())
            told.append(f"{names} have seed {seed}, but not the same encoder.")
    return told


def _differences(a: FinishedRun, b: FinishedRun) -> list[tuple[str, Any, Any]]:
    mine, yours = a.recipe.flat(), b.recipe.flat()
    return [
        (field, mine[field], yours[field])
        for field in mine
        if mine[field] != yours[field] and not field.startswith(MEANT)
    ]


def _name(run: FinishedRun) -> str:
    return f"{run.folder.resolve().name} ({label_of(run.recipe)})"
