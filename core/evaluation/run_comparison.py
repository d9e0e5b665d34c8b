"""LoRA runs against iLoRA runs and their controls, from per-user results alone.

Several training seeds are shown one by one, and averaged per user before they are compared: n stays the
number of users. Both sides of a comparison always come from the same seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.data.candidates import Kind
from core.errors import RunError
from core.evaluation.comparison import PairedComparison, compare_paired
from core.evaluation.intervals import Difference, paired_bootstrap
from core.evaluation.ruling import OPPONENTS, Opponent, Ruling, counts_as_better
from core.evaluation.run_identity import METHODS, label_of
from core.evaluation.seeds import SeedSpread, hierarchical_bootstrap, seed_spread
from core.evaluation.summary import Numbers, Row, hits, ndcg_gains
from core.training.finished import FinishedRun

BOOTSTRAP_SEED = 2408
CONTROLS = ("static", "random", "shuffled")
MODES = ("", " (branch)", " (generate)")


@dataclass(frozen=True)
class SeededComparison:
    """iLoRA against one opponent.

    Attributes:
        pooled: every user's hits averaged over seeds and draws.
        by_seed: the same comparison for every seed alone.
        beyond_seeds: the difference with an interval over users and seeds; None for a single seed.
        full: difference in NDCG@10 on the full catalogue, seeds averaged per user; None where one ranks
            candidates only. Another question than all the others here.
    """

    pooled: PairedComparison
    by_seed: Mapping[int, PairedComparison]
    beyond_seeds: Difference | None
    full: Difference | None


@dataclass(frozen=True)
class RunComparison:
    """Everything that is said about iLoRA and LoRA on one kind of candidates.

    Attributes:
        kind: of the candidates.
        rows: every row of the table, baselines included.
        judged: the label of the method that is judged: "iLoRA", or with its mode "iLoRA (branch)".
        against: by opponent ("LoRA", "Static gate", ...), in that order.
        ruling: whether iLoRA counts as better.
        spread: HR@1 over training seeds, by method.
        notes: what a reader must know: seeds without a partner, recipes that differ.
    """

    kind: Kind
    rows: tuple[Row, ...]
    judged: str
    against: Mapping[str, SeededComparison]
    ruling: Ruling
    spread: Mapping[str, SeedSpread]
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> SeededComparison:
        """iLoRA against LoRA."""
        return next(iter(self.against.values()))

    def runs_of(self, label: str) -> dict[int, Row]:
        """Rows of a method by training seed."""
        return rows_by_seed(self.rows, label)

    @property
    def lora(self) -> str:
        """LoRA's label."""
        return next(iter(self.against))


def compare_runs(rows: Sequence[Row], kind: Kind, notes: Sequence[str] = ()) -> RunComparison:
    """Compare what stands in `rows` on one kind of candidates.

    Raises:
        RunError: LoRA or iLoRA is missing, they share no training seed, or two runs have the same seed.
    """
    own = tuple(row for row in rows if row.header.candidates == kind)
    names = _names([row.header.method for row in own])
    judged = rows_by_seed(own, names["ilora"])
    opponents = {key: rows_by_seed(own, names[key]) for key in ("lora", *CONTROLS)}
    against = {key: seeded_comparison(runs, judged) for key, runs in opponents.items() if runs}
    keys: dict[Opponent, PairedComparison] = {key: against[key].pooled for key in OPPONENTS if key in against}
    return RunComparison(
        kind=kind,
        rows=own,
        judged=names["ilora"],
        against={names[key]: seeded for key, seeded in against.items()},
        ruling=counts_as_better(keys),
        spread={
            next(iter(runs.values())).header.method: seed_spread([row.sampled.hr1 for row in runs.values()])
            for runs in (judged, *opponents.values())
            if runs
        },
        notes=(*notes, *_without_partner(judged, opponents.values())),
    )


def check_comparable(runs: Sequence[FinishedRun]) -> None:
    """Before anything slow: raises RunError when there is not one LoRA and one iLoRA run of the same mode."""
    _names([label_of(run.recipe) for run in runs])


def _names(labels: Sequence[str]) -> dict[str, str]:
    """Labels of LoRA, iLoRA and the controls in the mode that is judged: the first that has both methods."""
    for mode in MODES:
        names = {key: f"{label}{mode}" for key, label in METHODS.items()}
        if {names["lora"], names["ilora"]} <= set(labels):
            return names
    known = {label for label in labels if label.startswith(tuple(METHODS.values())) and " + " not in label}
    raise RunError(
        "A comparison needs at least one LoRA and one iLoRA run of the same mode; these are: "
        f"{', '.join(sorted(known)) or 'none'}."
    )


def rows_by_seed(rows: Sequence[Row], label: str) -> dict[int, Row]:
    """Rows of one method by training seed, in the order of the seeds. Raises RunError for a seed twice."""
    found: dict[int, Row] = {}
    for row in rows:
        if row.header.method != label:
            continue
        seed = -1 if row.header.seed is None else row.header.seed
        if seed in found:
            raise RunError(
                f"{found[seed].header.run} and {row.header.run} are both {label} with seed {seed}: name one "
                "of them, or train with another run.seed."
            )
        found[seed] = row
    return dict(sorted(found.items()))


def paired_hits(a: Row, b: Row) -> tuple[Numbers, Numbers]:
    """Hits of two methods for the same users in the same order, [n, D] each.

    Raises:
        RunError: they were not asked the same questions.
    """
    if a.files[0].users != b.files[0].users or len(a.files) != len(b.files):
        raise RunError(
            f"{a.header.method} and {b.header.method} were not asked about the same users and draws: "
            "evaluate both again with the same --users and --draws."
        )
    return hits(a.files), hits(b.files)


def seeded_comparison(runs: Mapping[int, Row], judged: Mapping[int, Row]) -> SeededComparison:
    """One method (`judged`) against another, by their common training seeds.

    Raises:
        RunError: they have none, or were not asked the same questions.
    """
    a_name, b_name = (next(iter(side.values())).header.method for side in (runs, judged))
    seeds = [seed for seed in judged if seed in runs]
    if not seeds:
        raise RunError(
            f"{a_name} has the seeds {_list(runs)} and {b_name} {_list(judged)}: a comparison needs the same "
            "training seed on both sides."
        )
    pairs = [paired_hits(runs[seed], judged[seed]) for seed in seeds]
    by_seed = {
        seed: compare_paired(a, b, BOOTSTRAP_SEED, a_name, b_name)
        for seed, (a, b) in zip(seeds, pairs, strict=True)
    }
    a, b = (np.stack(side) for side in zip(*pairs, strict=True))  # (S, n, D)
    pooled = compare_paired(np.hstack(list(a)), np.hstack(list(b)), BOOTSTRAP_SEED, a_name, b_name)
    beyond = hierarchical_bootstrap(a, b, BOOTSTRAP_SEED) if len(seeds) > 1 else None
    return SeededComparison(pooled, by_seed, beyond, _full_difference(runs, judged, seeds))


def _full_difference(
    runs: Mapping[int, Row], judged: Mapping[int, Row], seeds: Sequence[int]
) -> Difference | None:
    sides = [[side[seed].files[0].numbers("full_rank") for seed in seeds] for side in (runs, judged)]
    a, b = (np.stack(side, axis=1) for side in sides)  # (n, S)
    if np.isnan(a).any() or np.isnan(b).any():
        return None
    return paired_bootstrap(ndcg_gains(a), ndcg_gains(b), BOOTSTRAP_SEED)


def _without_partner(judged: Mapping[int, Row], opponents: Iterable[Mapping[int, Row]]) -> list[str]:
    notes = []
    for runs in opponents:
        for side, other in ((runs, judged), (judged, runs)):
            alone = [seed for seed in side if other and seed not in other]
            if alone:
                a, b = (next(iter(rows.values())).header.method for rows in (side, other))
                notes.append(
                    f"{a}, seed {_list(alone)}: no partner among the runs of {b}, left out against it."
                )
    return notes


def _list(seeds: Mapping[int, Row] | Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
