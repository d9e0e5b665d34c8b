"""iLoRA judged over several data sets at once: comparisons corrected by Holm, and the protocol's ruling."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.data.candidates import Kind
from core.evaluation.comparison import PairedComparison, correct_over_datasets, mean_relative_improvement
from core.evaluation.intervals import Difference
from core.evaluation.ruling import Opponent, Ruling, counts_as_better
from core.evaluation.run_comparison import RunComparison, compare_runs
from core.evaluation.run_identity import METHODS
from core.evaluation.summary import Row

OPPONENTS = ("lora", "static", "random", "shuffled")


@dataclass(frozen=True)
class Judged:
    """One data set.

    Attributes:
        dataset: its name.
        comparison: everything that was compared on it.
        against: iLoRA against each opponent, p corrected over the data sets judged together.
        ruling: the protocol's, from the corrected comparisons.
    """

    dataset: str
    comparison: RunComparison
    against: Mapping[str, PairedComparison]
    ruling: Ruling

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds of iLoRA and LoRA."""
        return tuple(self.comparison.main.by_seed)

    @property
    def by_seed(self) -> dict[int, float]:
        """iLoRA minus LoRA in HR@1, for every training seed alone."""
        return {seed: one.difference.mean for seed, one in self.comparison.main.by_seed.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What its rows of LoRA and iLoRA say of themselves, such as another recipe than the others'."""
        own = (METHODS["lora"], METHODS["ilora"])
        told = (row.header.note for row in self.comparison.rows if _label(row) in own)
        return tuple(dict.fromkeys(note for note in told if note))

    @property
    def beyond_seeds(self) -> Difference | None:
        """The same with an interval over users and seeds; None for a single seed."""
        return self.comparison.main.beyond_seeds


@dataclass(frozen=True)
class Judgement:
    """All data sets of one split on one kind of candidates.

    Attributes:
        split, kind: what is judged.
        datasets: in the order of their rows.
        mean_relative: (iLoRA − LoRA) / LoRA in HR@1, mean over data sets; None where it is not defined.
    """

    split: str
    kind: Kind
    datasets: tuple[Judged, ...]
    mean_relative: float | None


def judge(rows: Sequence[Row], split: str, kind: Kind) -> Judgement:
    """Judge iLoRA on every data set whose rows hold LoRA and iLoRA, in catalogue mode, on one split."""
    places: dict[str, list[Row]] = {}
    for row in rows:
        if row.header.split == split and row.header.candidates == kind:
            places.setdefault(row.header.dataset, []).append(row)
    compared = {
        dataset: compare_runs(own, kind) for dataset, own in places.items() if _has_both({*map(_label, own)})
    }
    corrected: dict[str, dict[str, PairedComparison]] = {dataset: {} for dataset in compared}
    for opponent in OPPONENTS:
        label = METHODS[opponent]
        pooled = {d: c.against[label].pooled for d, c in compared.items() if label in c.against}
        for dataset, comparison in correct_over_datasets(pooled).items() if pooled else ():
            corrected[dataset][opponent] = comparison
    judged = tuple(
        Judged(dataset, comparison, corrected[dataset], _ruling(corrected[dataset]))
        for dataset, comparison in compared.items()
    )
    relative = mean_relative_improvement([one.against["lora"] for one in judged])
    return Judgement(split, kind, judged, relative)


def _label(row: Row) -> str:
    return row.header.method


def _has_both(labels: set[str]) -> bool:
    return {METHODS["lora"], METHODS["ilora"]} <= labels


def _ruling(against: Mapping[str, PairedComparison]) -> Ruling:
    names: tuple[Opponent, ...] = ("lora", "static", "shuffled")
    return counts_as_better({name: against[name] for name in names if name in against})


def write_verdicts(judgements: Sequence[Judgement], path: Path) -> None:
    """Write verdict.json: one object per data set, split and kind of candidates. Rates in [0, 1]."""
    records = [_record(judgement, one) for judgement in judgements for one in judgement.datasets]
    path.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


def _record(judgement: Judgement, one: Judged) -> dict[str, Any]:
    main = one.against["lora"]
    return {
        "dataset": one.dataset,
        "split": judgement.split,
        "candidates": judgement.kind,
        "n": main.n,
        "seeds": list(one.seeds),
        "lora": main.rate_a.mean,
        "ilora": main.rate_b.mean,
        "relative_gain": main.relative,
        "detectable_difference": main.detectable,
        "by_seed": one.by_seed,
        "beyond_seeds": None if one.beyond_seeds is None else asdict(one.beyond_seeds),
        "against": {name: _difference(comparison) for name, comparison in one.against.items()},
        "counts_as_better": one.ruling.better,
        "reason": one.ruling.reason,
    }


def _difference(comparison: PairedComparison) -> dict[str, Any]:
    return {
        "hr1": comparison.rate_a.mean,
        "difference": comparison.difference.mean,
        "low": comparison.difference.low,
        "high": comparison.difference.high,
        "p": comparison.mcnemar.p,
        "p_holm": comparison.p_holm,
        "datasets_corrected_over": comparison.datasets,
        "winner": comparison.winner,
    }
