"""The two gaps between what a run learned from and what it is asked, and what closes them.

*Memory*: the encoder, and what learns beside it, knows its own training rows better than anything new.
*Shift*: training rows end anywhere in a history, of heavy users mostly; asked is the last step of everybody.

The same people are asked at three places of their own sequences: at one drawn anywhere in training, at the
last one of training, and at the next one, which nobody trained on (validation). The first two differ in the
place alone, the last two in having been trained on alone.

Shapes: n people, N items.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.data.candidates import draw_candidates
from core.data.dataset import Case, Dataset, Split
from core.evaluation.asking import full_ranks, sampled_ranks
from core.evaluation.comparison import compare_paired, in_percent
from core.evaluation.encoder_baseline import SASRecBaseline
from core.evaluation.evaluating import Step
from core.evaluation.intervals import Difference, Rate, rate
from core.evaluation.metrics import ndcg_at
from core.evaluation.significance import holm
from core.routing import Floats
from core.studies.asked_run import AskedRun
from core.studies.finding import Finding, gain
from core.studies.grid import Planned
from core.training.finished import FinishedRun

NAME = "gaps"
QUESTION = "What separates training rows from the questions people ask, and which remedy closes it?"
SEED = 171
"""Of the places that are drawn, and of the bootstrap."""
SHIFT, MEMORY = "shift", "memory"
REMEDIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "base": ("", "the recipe: users by the root of their length", ()),
    "every": (SHIFT, "every position a row", ("rows.draw=every_position",)),
    "uniform": (SHIFT, "all users alike", ("rows.draw=user_uniform",)),
    "late": (SHIFT, "all users alike, last 8 positions", ("rows.draw=late_positions",)),
    "bare": (MEMORY, "no dropout at all", ("model.token_dropout=0", "model.item_dropout=0")),
    "dropped": (MEMORY, "half of the items by text alone", ("model.item_dropout=0.5",)),
    "early": (MEMORY, "encoder stopped after 5 epochs", ("encoder.max_epochs=5",)),
    "crossed": (MEMORY, "beside encoders of other users", ("model.residual=1",)),
}
"""By name: the gap it is meant for, what it is, and the settings that make it so."""


@dataclass(frozen=True)
class Places:
    """The questions, of the same n people at each place.

    Attributes:
        anywhere: a position drawn from each training sequence.
        last: the last position of training.
        next: the position after it: validation.
    """

    anywhere: tuple[Case, ...]
    last: tuple[Case, ...]
    next: tuple[Case, ...]

    @classmethod
    def of(cls, split: Split) -> "Places":
        """Of everybody who is asked in validation and has two training items at least."""
        sequences = dict(zip(split.train_users, split.train, strict=True))
        asked = [case for case in split.validation if len(sequences.get(case.user, ())) >= 2]
        anywhere, last = [], []
        for case in asked:
            sequence = sequences[case.user]
            place = int(np.random.default_rng([SEED, case.user]).integers(1, len(sequence)))
            anywhere.append(Case(case.user, sequence[:place], sequence[place]))
            last.append(Case(case.user, sequence[:-1], sequence[-1]))
        return cls(tuple(anywhere), tuple(last), tuple(asked))


@dataclass(frozen=True)
class Told:
    """One way to train on n people.

    Attributes:
        label: what it is.
        gap: which gap it is meant for; "" for the base and the encoder alone.
        anywhere, last, next: HR@1 among 20 at each place.
        ndcg10: on the full catalogue, at the next place.
        shift, memory: anywhere − last, last − next, in HR@1.
        against: HR@1 at the next place minus the base's; None for the base itself and the encoder.
        p_holm: McNemar's, corrected over the remedies; None likewise.
    """

    label: str
    gap: str
    anywhere: Rate
    last: Rate
    next: Rate
    ndcg10: float
    shift: float
    memory: float
    against: Difference | None = None
    p_holm: float | None = None


def planned(dataset: str, steps: int, seed: int) -> list[Planned]:
    """One run per remedy, plain LoRA all of them: what closes the gaps is not the gate's business."""
    return [
        Planned(
            f"{dataset}-gaps-{name}-{seed}", dataset, "loo", "catalogue", "demo-cpu", "lora",
            (
                f"dataset={dataset}", "split=loo", f"run.seed={seed}", f"run.max_steps={steps}",
                f"run.evaluate_every={max(1, steps // 2)}", "run.save_every=25", *settings,
            ),
        )
        for name, (_, _, settings) in REMEDIES.items()
    ]  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    told: Told
    hits: np.ndarray  # [n] bool, at the next place


def measure(
    runs: Sequence[FinishedRun], dataset: Dataset, step: Step = lambda what, done, total: None
) -> list[Told]:
    """The encoder alone, then every run of `planned`, in that order, on the same people."""
    places = Places.of(dataset.split("loo"))
    encoder = SASRecBaseline.of(runs[0].prepared.encoder)

    def alone(cases: Sequence[Case]) -> Floats:
        return encoder.score([case.history for case in cases])

    asked = [_ask("SASRec alone", "", alone, places, dataset)]
    for (gap, label, _), run in zip(REMEDIES.values(), runs, strict=True):
        asked.append(_ask(label, gap, AskedRun(run, dataset, step), places, dataset))
    first, base, *others = asked
    compared = [compare_paired(base.hits, one.hits, SEED) for one in others]
    corrected = holm([one.mcnemar.p for one in compared])
    told = [first.told, base.told]
    for one, comparison, p in zip(others, compared, corrected, strict=True):
        told.append(Told(**{**vars(one.told), "against": comparison.difference, "p_holm": p}))
    return told


def _ask(
    label: str, gap: str, score: Callable[[Sequence[Case]], Floats], places: Places, dataset: Dataset
) -> _Asked:
    rates, hits, ndcg10 = [], np.zeros(0), 0.0
    for cases in (places.anywhere, places.last, places.next):
        scores = score(cases)
        hits = sampled_ranks(scores, cases, draw_candidates(dataset, cases)) == 1
        rates.append(rate(hits))
        ndcg10 = ndcg_at(full_ranks(scores, cases), 10)
    anywhere, last, next_ = rates
    told = Told(label, gap, anywhere, last, next_, ndcg10, anywhere.mean - last.mean, last.mean - next_.mean)
    return _Asked(told, hits)


def gaps(told: Sequence[Told], dataset: str, steps: int) -> Finding:
    """The finding of what was measured."""
    numbers = {
        "dataset": dataset,
        "steps": steps,
        "n": told[0].next.n,
        "ways": [asdict(one) for one in told],
    }
    return Finding(NAME, QUESTION, sentence(told, dataset, steps), numbers)


def sentence(told: Sequence[Told], dataset: str, steps: int) -> str:
    """What was found, with n."""
    encoder, base, *others = told
    each = "; ".join(
        f"{one.label} ({one.gap}) {gain(one.against)}, memory {100 * one.memory:.1f}, shift "
        f"{100 * one.shift:.1f}"
        for one in others
        if one.against is not None
    ).replace(" -", " −")
    shown = [one.label for one in others if one.p_holm is not None and one.p_holm < 0.05]
    verdict = f"Shown (Holm over {len(others)}): {', '.join(shown)}." if shown else "None is shown."
    return (
        f"{dataset}, {steps} steps of LoRA, one seed, HR@1 among 20 of the same n = {base.next.n:,} people. "
        f"SASRec alone: {in_percent(encoder.anywhere)} anywhere in training, {in_percent(encoder.last)} at "
        f"its last place, {in_percent(encoder.next)} at the next one, which it never saw. The recipe: "
        f"{in_percent(base.anywhere)}, {in_percent(base.last)}, {in_percent(base.next)}. Remedies, in points "
        f"at the next place against the recipe, with what is left of both gaps: {each}. {verdict}"
    )
