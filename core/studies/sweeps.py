"""Two sweeps over what a gate is: `gate` (what guides it) and `experts` (how many it mixes).

Each arm is a training run of the same length over the same rows; all arms are asked about the same validation
users, as a sweep is there to choose from, and the test users are kept for what was chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.errors import RunError
from core.evaluation.comparison import compare_paired
from core.evaluation.intervals import Difference, Rate, paired_bootstrap, rate
from core.evaluation.significance import holm
from core.evaluation.summary import Row, hits, ndcg_gains
from core.studies.finding import Finding, gain
from core.studies.grid import RECIPE, Planned

SEED = 159
"""Of the bootstrap."""
RANK = 16
"""Total rank where it is the same for every K; the largest K takes one of it per expert."""
EXPERT_RANK = 2
"""Rank of an expert where that is the same for every K."""
EXPERTS = (1, 2, 4, 8, 16)
SCALE = 4
"""alpha / r of every arm: the demo's, so that a uniform mixture has the same scale at every rank."""
_LINEARS = ("adapter.adapt_output=false", "optimizer.gate_lr=0.001")
_OUTPUT = ("adapter.adapt_output=true",)
GATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "none": ("no gate: plain LoRA", ()),
    "static": ("nothing: one learned mixture", ("adapter.gate_reads=static",)),
    "random": ("a random vector per person", ("adapter.gate_reads=random",)),
    "tokens": ("the titles, unordered", ("adapter.gate_reads=tokens",)),
    "history": ("the sequence: iLoRA", ("adapter.gate_reads=history",)),
    "crossed": ("the sequence, cross-fitted", ("adapter.gate_cross_fitted=true",)),
}
"""Arms: what guides the gate, and the settings that say so."""
LEVERS: dict[str, tuple[str, int, int, tuple[str, ...]]] = {
    "lora-r16": ("LoRA, r 16", 16, 1, _LINEARS),
    "lora-r8": ("LoRA, r 8", 8, 1, _LINEARS),
    "zero": ("K 4, r 8, linears only", 8, 4, _LINEARS),
    "out-slow": ("K 4, r 8, output, gate_lr .001", 8, 4, (*_OUTPUT, "optimizer.gate_lr=0.001")),
    "out": ("K 4, r 8, output, gate_lr .003", 8, 4, (*_OUTPUT, "optimizer.gate_lr=0.003")),
    "out-fast": ("K 4, r 8, output, gate_lr .01", 8, 4, (*_OUTPUT, "optimizer.gate_lr=0.01")),
    "k8": ("K 8, r 8, output, gate_lr .003", 8, 8, (*_OUTPUT, "optimizer.gate_lr=0.003")),
    "k8-r16": ("K 8, r 16, output, gate_lr .003", 16, 8, (*_OUTPUT, "optimizer.gate_lr=0.003")),
    "k16": ("K 16, r 16, output, gate_lr .003", 16, 16, (*_OUTPUT, "optimizer.gate_lr=0.003")),
    "k16-fast": ("K 16, r 16, output, gate_lr .01", 16, 16, (*_OUTPUT, "optimizer.gate_lr=0.01")),
}
"""Levers: what differs, r, K, and the settings that make it so. The first is what all are held against."""
QUESTIONS = {
    "levers": "Which levers lift mixed experts above one LoRA for all?",
    "gate": "Which knowledge of a person should guide the experts, or none?",
    "experts": "How many experts, at the same total rank and at the same rank each?",
}


@dataclass(frozen=True)
class Arm:
    """One arm on n validation users.

    Attributes:
        label: what differs.
        series: of arms that are drawn as one line.
        size: place on that line; K, or the number of the arm.
        hr1: HR@1 among 20 with Wilson's interval.
        ndcg10: on the full catalogue.
        against: HR@1 minus the base's; None for the base itself.
        ndcg10_against: the same in NDCG@10.
        p, p_holm: McNemar's, alone and corrected over the arms; None for the base itself.
        parameters: trained numbers of adapter and gate.
        minutes: of training.
    """

    label: str
    series: str
    size: int
    hr1: Rate
    ndcg10: float
    against: Difference | None
    ndcg10_against: Difference | None
    p: float | None
    p_holm: float | None
    parameters: int
    minutes: float | None


@dataclass(frozen=True)
class Arms:
    """A sweep before it is trained: runs, each with its label, series and size; the first one is the base."""

    name: str
    planned: Sequence[Planned]
    labels: Sequence[tuple[str, str, int]]


def gate_arms(dataset: str, steps: int, seed: int) -> Arms:
    """What guides the gate."""
    planned, labels = [], []
    for place, (name, (label, own)) in enumerate(GATES.items()):
        method = "lora" if name == "none" else "ilora"
        planned.append(_planned(f"{dataset}-gate-{name}-{seed}", dataset, steps, seed, method, own))
        labels.append((label, "gate", place))
    return Arms("gate", planned, labels)


def experts_arms(dataset: str, steps: int, seed: int) -> Arms:
    """How many experts: at one total rank, then at one rank each. K = 1 is plain LoRA of that rank."""
    planned, labels = [], []
    for series, rank_of in (("r 16", lambda k: RANK), (f"r {EXPERT_RANK} each", lambda k: EXPERT_RANK * k)):
        for experts in EXPERTS:
            rank = rank_of(experts)
            own = (f"adapter.r={rank}", f"adapter.alpha={SCALE * rank}", f"adapter.num_experts={experts}")
            method = "lora" if experts == 1 else "ilora"
            name = f"{dataset}-experts-k{experts}-r{rank}-{seed}"
            planned.append(_planned(name, dataset, steps, seed, method, own))
            labels.append((f"K {experts}, r {rank}", series, experts))
    return Arms("experts", planned, labels)


def levers_arms(dataset: str, steps: int, seed: int) -> Arms:
    """What was tried to lift iLoRA above LoRA; on validation users, as all that chooses."""
    planned, labels = [], []
    for place, (name, (label, rank, experts, own)) in enumerate(LEVERS.items()):
        settings = (
            f"adapter.r={rank}",
            f"adapter.alpha={SCALE * rank}",
            f"adapter.num_experts={max(experts, 4)}",  # of no meaning to LoRA
            f"adapter.gate_init={'random' if experts == 1 else 'zero'}",  # likewise
            *own,
        )
        one = f"{dataset}-levers-{name}-{seed}"
        method = "lora" if experts == 1 else "ilora"
        planned.append(_planned(one, dataset, steps, seed, method, settings))
        labels.append((label, "levers", place))
    return Arms("levers", planned, labels)


def _planned(name: str, dataset: str, steps: int, seed: int, method: str, own: tuple[str, ...]) -> Planned:
    settings = (
        f"dataset={dataset}",
        "split=loo",
        f"run.seed={seed}",
        f"run.max_steps={steps}",
        f"run.evaluate_every={max(1, steps // 2)}",
        "run.save_every=25",
        *own,
    )
    return Planned(name, dataset, "loo", "catalogue", RECIPE, method, settings)


def once(planned: Sequence[Planned]) -> list[Planned]:
    """Without the runs that stand in two series."""
    return list({one.name: one for one in planned}.values())


def compared(arms: Arms, rows: Sequence[Row], parameters: Mapping[str, int]) -> list[Arm]:
    """Every arm against the first, on the same people.

    Args:
        rows: of `evaluate_runs` without baselines; blends are left out.
        parameters: trained numbers by run name.

    Raises:
        RunError: an arm was not measured.
    """
    by_run = {row.header.run: row for row in rows if "+" not in row.header.method}
    if missing := [one.name for one in arms.planned if one.name not in by_run]:
        raise RunError(f"{missing[0]} was not measured.")
    own = [by_run[one.name] for one in arms.planned]
    paired = [compare_paired(hits(own[0].files), hits(row.files), SEED) for row in own[1:]]
    corrected = [None, *holm([one.mcnemar.p for one in paired])]
    told: list[Arm] = []
    for place, (row, comparison) in enumerate(zip(own, [None, *paired], strict=True)):
        label, series, size = arms.labels[place]
        gains, base = _gains(row), _gains(own[0])
        told.append(
            Arm(
                label=label,
                series=series,
                size=size,
                hr1=rate(hits(row.files)),
                ndcg10=float(gains.mean()),
                against=None if comparison is None else comparison.difference,
                ndcg10_against=None if comparison is None else paired_bootstrap(base, gains, SEED),
                p=None if comparison is None else comparison.mcnemar.p,
                p_holm=corrected[place],
                parameters=parameters[row.header.run],
                minutes=row.header.train_minutes,
            )
        )
    return told


def _gains(row: Row) -> "np.typing.NDArray[np.float64]":
    return ndcg_gains(row.files[0].numbers("full_rank"))


def sweep(
    arms: Arms, rows: Sequence[Row], parameters: Mapping[str, int], dataset: str, steps: int
) -> Finding:
    """The finding of a sweep that was trained and measured."""
    told = compared(arms, rows, parameters)
    numbers = {
        "dataset": dataset,
        "steps": steps,
        "seeds": sorted({int(row.header.seed) for row in rows if row.header.seed is not None}),
        "n": told[0].hr1.n,
        "arms": [asdict(arm) for arm in told],
    }
    return Finding(arms.name, QUESTIONS[arms.name], sentence(told, dataset, steps), numbers)


def sentence(arms: Sequence[Arm], dataset: str, steps: int) -> str:
    """What was found, with n."""
    base, others = arms[0], arms[1:]
    shown = [arm for arm in others if arm.p_holm is not None and arm.p_holm < 0.05]
    best = max(arms, key=lambda arm: arm.hr1.mean)
    each = "; ".join(f"{arm.label} {gain(arm.against)}" for arm in others if arm.against is not None)
    verdict = (
        f"{', '.join(arm.label for arm in shown)}: a difference that is shown (Holm over {len(others)})."
        if shown
        else f"No difference that {base.hr1.n:,} people can show (Holm over {len(others)})."
    )
    return (
        f"{dataset}, {steps} steps, one seed, n = {base.hr1.n:,} validation users, HR@1 among 20 in points "
        f"against {base.label} ({100 * base.hr1.mean:.1f} %): {each}. Highest: {best.label}. {verdict}"
    )
