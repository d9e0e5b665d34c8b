"""Were two runs trained alike? What differs between recipes is said beside every comparison of them."""

from collections.abc import Sequence

from core.evaluation.run_identity import encoder_identity, label_of
from core.training.finished import FinishedRun

MEANT = ("method", "adapter.gate_reads", "run.seed", "run.threads", "start_from")
"""Fields in which runs of one comparison differ on purpose."""
GATE = ("adapter.num_experts", "adapter.gate")
"""Fields, or beginnings of them, that mean nothing to LoRA: they are compared between runs with experts."""


def unfair(runs: Sequence[FinishedRun]) -> list[str]:
    """One sentence per difference that a comparison of these runs would not mean; none when they are alike.

    Runs of one mode are held against the first of them; what their gates are, against the first that has one:
    of those only what the gate reads may differ. Runs of one seed must share their encoder.
    """
    told = []
    for mode in dict.fromkeys(run.recipe.mode for run in runs):
        alike = [run for run in runs if run.recipe.mode == mode]
        told += _unlike(alike, of_the_gate=False)
        told += _unlike([run for run in alike if run.recipe.experts > 1], of_the_gate=True)
    for seed in dict.fromkeys(run.recipe.run.seed for run in runs):
        same = [run for run in runs if run.recipe.run.seed == seed]
        encoders = {encoder_identity(run).run: run for run in reversed(same)}
        if len(encoders) > 1:
            names = ", ".join(_name(run) for run in encoders.values())
            told.append(f"{names} have seed {seed}, but not the same encoder.")
    return told


def _unlike(runs: Sequence[FinishedRun], of_the_gate: bool) -> list[str]:
    """One sentence per field in which one of the runs differs from the first of them."""
    flat = [_fields(run) for run in runs]
    return [
        f"{field} is {flat[0][field]} in {_name(runs[0])} and {value} in {_name(run)}."
        for run, fields in zip(runs[1:], flat[1:], strict=True)
        for field, value in fields.items()
        if field.startswith(GATE) == of_the_gate and field not in MEANT and value != flat[0].get(field, value)
    ]


def _fields(run: FinishedRun) -> dict[str, object]:
    """Of its recipe, those that meant something: folds do where something is cross-fitted."""
    without = () if run.recipe.cross_fits else ("model.folds",)
    return {field: value for field, value in run.recipe.flat().items() if field not in without}


def _name(run: FinishedRun) -> str:
    return f"{run.folder.resolve().name} ({label_of(run.recipe)})"
