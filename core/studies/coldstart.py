"""How little history is enough? The same people asked with their last 1, 2, 5 and 10 items; then those of
whom little is known at all, and those whose next item nobody trained on (only its title is known).

Shapes: n cases, N items.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.data.candidates import draw_candidates, training_counts
from core.data.dataset import Case, Dataset
from core.errors import RunError
from core.evaluation.asking import full_ranks, sampled_ranks
from core.evaluation.baselines import Baseline, Popularity
from core.evaluation.buckets import SPARSE, UNSEEN, target_popularity
from core.evaluation.comparison import in_percent
from core.evaluation.encoder_baseline import SASRecBaseline
from core.evaluation.evaluating import Step
from core.evaluation.intervals import Rate, rate
from core.evaluation.metrics import ndcg_at
from core.evaluation.tuning import tune_ease, tune_item_knn
from core.routing import HISTORY_AT_TEST, Floats, Indices
from core.studies.asked_run import AskedRun
from core.studies.finding import Finding
from core.training.finished import FinishedRun

NAME = "coldstart"
QUESTION = "How good is a list from one item, for somebody little known, or of an item nobody had?"
LENGTHS = (1, 2, 5, HISTORY_AT_TEST)

Score = Callable[[Sequence[Case]], Floats]
"""n cases -> scores of the whole catalogue, [n, N]."""


@dataclass(frozen=True)
class Point:
    """One method on one group of people: HR@1 among 20 with its interval, NDCG@10 on the full catalogue."""

    hr1: Rate
    ndcg10: float


@dataclass(frozen=True)
class Method:
    """One curve.

    Attributes:
        label: its name in tables.
        lengths: by number of items read, over everybody who has ten.
        sparse: people with up to 20 known items; None where there are none.
        unseen: people whose next item has no interaction in training; None where there are none.
    """

    label: str
    lengths: Mapping[int, Point]
    sparse: Point | None
    unseen: Point | None


def shortened(cases: Sequence[Case], length: int) -> list[Case]:
    """The same questions with the last `length` items of each history."""
    return [replace(case, history=case.history[-length:]) for case in cases]


def measured(
    label: str, score: Score, cases: Sequence[Case], candidates: Indices, counts: NDArray[np.int64]
) -> Method:
    """Ask one method everything.

    Args:
        cases: all test cases.
        candidates: [n, 20] theirs.
        counts: [N] interactions in training.
    """
    known = np.array([len(case.history) for case in cases])
    long = np.flatnonzero(known >= HISTORY_AT_TEST)
    whole = score(cases)

    def point(rows: NDArray[np.int64], scores: Floats) -> Point | None:
        if not len(rows):
            return None
        own = [cases[int(row)] for row in rows]
        hits = sampled_ranks(scores, own, candidates[rows]) == 1
        # What somebody had stays out of his list however little of it was read.
        return Point(rate(hits), ndcg_at(full_ranks(scores, own), 10))

    lengths = {}
    for length in LENGTHS:
        own = [cases[int(row)] for row in long]
        told = point(long, whole[long] if length == HISTORY_AT_TEST else score(shortened(own, length)))
        if told is not None:
            lengths[length] = told
    few = np.flatnonzero(known <= SPARSE)
    new = np.flatnonzero(np.array(target_popularity(cases, counts)) == UNSEEN)
    return Method(label, lengths, point(few, whole[few]), point(new, whole[new]))


def coldstart(
    runs: Sequence[FinishedRun], dataset: Dataset, step: Step = lambda what, done, total: None
) -> Finding:
    """Finished runs of one data set and split beside popularity, item-kNN, EASE and their own SASRec.

    Raises:
        RunError: a run is not in catalogue mode, or nobody has ten items.
    """
    recipe = runs[0].recipe
    split = dataset.split(recipe.split)
    cases, counts = split.test, training_counts(split, dataset.num_items)
    if not any(len(case.history) >= HISTORY_AT_TEST for case in cases):
        raise RunError(
            f"Nobody in {dataset.name} {split.name} has {HISTORY_AT_TEST} items: nothing can be shortened."
        )
    asked = [AskedRun(run, dataset, step) for run in runs]
    candidates = draw_candidates(dataset, cases)
    scorers: list[tuple[str, Score]] = [
        *_baselines(runs[0], dataset, step),
        *((one.label, one) for one in asked),
    ]
    methods = [measured(label, score, cases, candidates, counts) for label, score in scorers]
    numbers = {
        "dataset": dataset.name,
        "split": split.name,
        "n": sum(len(case.history) >= HISTORY_AT_TEST for case in cases),
        "methods": [_record(method) for method in methods],
    }
    return Finding(NAME, QUESTION, sentence(methods, dataset.name), numbers)


def _baselines(run: FinishedRun, dataset: Dataset, step: Step) -> list[tuple[str, Score]]:
    split, items = dataset.split(run.recipe.split), dataset.num_items
    step("Fitting baselines", 0, 0)
    fitted: dict[str, Baseline] = {
        "Popularity": Popularity().fit(split.train, items),
        "ItemKNN": tune_item_knn(split, items).baseline,
        "EASE": tune_ease(split, items).baseline,
        "SASRec": SASRecBaseline.of(run.prepared.encoder),
    }

    def scores(name: str) -> Score:
        return lambda cases: fitted[name].score([case.history[-HISTORY_AT_TEST:] for case in cases])

    return [(name, scores(name)) for name in fitted]


def _record(method: Method) -> dict[str, object]:
    return {
        "label": method.label,
        "lengths": {str(length): asdict(point) for length, point in method.lengths.items()},
        "sparse": None if method.sparse is None else asdict(method.sparse),
        "unseen": None if method.unseen is None else asdict(method.unseen),
    }


def sentence(methods: Sequence[Method], dataset: str) -> str:
    """What was found, with n."""
    first, last = min(LENGTHS), max(LENGTHS)
    n = next(iter(methods[0].lengths.values())).hr1.n
    told = "; ".join(
        f"{m.label} {in_percent(m.lengths[first].hr1)} from one item, "
        f"{in_percent(m.lengths[last].hr1)} from ten"
        for m in methods
    )
    said = f"HR@1 among 20 on {dataset}, n = {n:,} people with ten items: {told}."
    for group, words in (
        ("sparse", f"people with up to {SPARSE} known items"),
        ("unseen", "people whose next item nobody had"),
    ):
        points = {m.label: getattr(m, group) for m in methods}
        if all(points.values()):
            n = next(iter(points.values())).hr1.n
            each = ", ".join(f"{label} {in_percent(point.hr1)}" for label, point in points.items())
            said += f" Of {n:,} {words}: {each}."
    return said
