"""One adapter for films, music and games together, or one for each: what is lost, and does a gate prevent it?

The adapter for all is trained on the union of the data sets (`core.data.union`), as many rows as the separate
ones have together. Each person is asked the same questions of both: his own candidates, of his own data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.data.candidates import draw_candidates
from core.data.dataset import Dataset
from core.data.union import PLUS, parts_of, union
from core.evaluation.asking import ask, route_cases, sampled_ranks
from core.evaluation.comparison import compare_paired
from core.evaluation.evaluating import Step
from core.evaluation.intervals import Difference, Rate, rate
from core.studies.finding import Finding, gain
from core.studies.grid import RECIPE, Planned
from core.training.finished import FinishedRun, open_ranker
from core.training.run import open_backbone

NAME = "mixed"
QUESTION = "Does one adapter for films, music and games lose against one for each, and less with experts?"
DATASETS = ("movielens", "lastfm", "steam")
METHODS = {"lora": "LoRA", "ilora": "iLoRA"}
SEED = 11

Hits = np.typing.NDArray[np.bool_]


@dataclass(frozen=True)
class Transfer:
    """One method on one data set's n test users, HR@1 among 20.

    Attributes:
        separate, together: by the adapter of this data set, and by the one for all.
        difference: together minus separate, paired.
        p: McNemar's, exact.
    """

    separate: Rate
    together: Rate
    difference: Difference
    p: float


def planned(steps: int, seed: int, datasets: Sequence[str] = DATASETS) -> list[Planned]:
    """Separate runs of `steps` each, and runs of as many steps together over the union."""
    places = [(name, steps) for name in datasets] + [(PLUS.join(datasets), steps * len(datasets))]
    return [
        Planned(
            f"mixed-{name.replace(PLUS, '-')}-{method}-{seed}", name, "loo", "catalogue", RECIPE, method,
            (
                f"dataset={name}", "split=loo", f"run.seed={seed}", f"run.max_steps={length}",
                f"run.evaluate_every={max(1, length // 2)}", "run.save_every=25",
            ),
        )
        for name, length in places
        for method in METHODS
    ]  # fmt: skip


def separate_hits(run: FinishedRun, dataset: Dataset, step: Step) -> Hits:
    """Whether each test user's target comes first, by the adapter of his data set: [n]."""
    cases = dataset.split("loo").test
    candidates = draw_candidates(dataset, cases)
    ranker, router = open_ranker(run, open_backbone(run.recipe, step=step), dataset)
    step(f"Asking {run.folder.name}", 0, 0)
    hits: Hits = (
        sampled_ranks(ask(ranker, route_cases(router, cases), cases, run.recipe.method), cases, candidates)
        == 1
    )
    return hits


def together_hits(run: FinishedRun, datasets: Sequence[Dataset], step: Step) -> dict[str, Hits]:
    """The same by the adapter for all, by data set."""
    whole, parts = union(datasets), parts_of(datasets)
    ranker, router = open_ranker(run, open_backbone(run.recipe, step=step), whole)
    told = {}
    for dataset, part in zip(datasets, parts, strict=True):
        own = dataset.split("loo").test
        cases = [part.case(case) for case in own]
        step(f"Asking {run.folder.name} about {dataset.name}", 0, 0)
        scores = ask(ranker, route_cases(router, cases), cases, run.recipe.method)
        candidates = draw_candidates(dataset, own)
        told[dataset.name] = (
            sampled_ranks(scores[:, part.items.start : part.items.stop], own, candidates) == 1
        )
    return told


def compared(
    separate: Mapping[tuple[str, str], Hits], together: Mapping[str, Mapping[str, Hits]]
) -> dict[str, dict[str, Transfer]]:
    """By data set, then by method.

    Args:
        separate: by data set and method.
        together: by method, then by data set.
    """
    told: dict[str, dict[str, Transfer]] = {}
    for (dataset, method), apart in separate.items():
        both = compare_paired(apart, together[method][dataset], SEED, "separate", "together")
        one = Transfer(rate(apart), rate(together[method][dataset]), both.difference, both.mcnemar.p)
        told.setdefault(dataset, {})[method] = one
    return told


def mixed(told: Mapping[str, Mapping[str, Transfer]], steps: int) -> Finding:
    """The finding of what was measured."""
    numbers = {
        "steps": steps,
        "datasets": {name: {m: asdict(t) for m, t in methods.items()} for name, methods in told.items()},
    }
    return Finding(NAME, QUESTION, sentence(told, steps), numbers)


def sentence(told: Mapping[str, Mapping[str, Transfer]], steps: int) -> str:
    """What was found, with n."""
    each = "; ".join(
        f"{name} (n = {transfer.difference.n:,}) {METHODS[method]} {gain(transfer.difference)}"
        for name, methods in told.items()
        for method, transfer in methods.items()
    )
    return (
        f"One adapter for all against one for each, {steps} steps per data set, one seed, HR@1 among 20 in "
        f"points: {each}."
    )
