"""Is a list better with a language model than without? Rows that have one against rows that have none.

Twice: among candidates (HR@1) and on the full catalogue (NDCG@10), over the training seeds both sides have.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.candidates import Kind
from core.evaluation.comparison import PairedComparison, correct_over_datasets
from core.evaluation.intervals import Difference
from core.evaluation.run_comparison import rows_by_seed, seeded_comparison
from core.evaluation.run_identity import METHODS, SASREC, STACK
from core.evaluation.summary import Row

_LORA, _ILORA = METHODS["lora"], METHODS["ilora"]
PAIRS: tuple[tuple[str, str], ...] = (
    *((label, SASREC) for label in (_LORA, _ILORA, f"{_LORA} + {SASREC}", f"{_ILORA} + {SASREC}")),
    *((label, SASREC) for label in (STACK, f"{_LORA} + {STACK}", f"{_ILORA} + {STACK}")),
    *((label, STACK) for label in (f"{_LORA} + {STACK}", f"{_ILORA} + {STACK}")),
)
"""A row, and the row without a language model that it is held against. The stack itself is none with one."""


@dataclass(frozen=True)
class Above:
    """One row against another on one data set.

    Attributes:
        dataset: its name.
        label, base: methods; `label` is held against `base`.
        seeds: training seeds of both.
        hits: HR@1, p corrected over the data sets of the same pair.
        full: difference in NDCG@10 on the full catalogue.
    """

    dataset: str
    label: str
    base: str
    seeds: tuple[int, ...]
    hits: PairedComparison
    full: Difference | None

    @property
    def shown(self) -> bool:
        """Whether both advantages are shown: among candidates and on the full catalogue."""
        return self.hits.winner == self.label and self.full is not None and self.full.low > 0


def above(rows: Sequence[Row], split: str, kind: Kind) -> list[Above]:
    """Every pair on every data set that has both rows, pair by pair."""
    places: dict[str, list[Row]] = {}
    for row in rows:
        if (row.header.split, row.header.candidates) == (split, kind):
            places.setdefault(row.header.dataset, []).append(row)
    told = []
    for label, base in PAIRS:
        compared = {}
        for dataset, own in places.items():
            ours, theirs = rows_by_seed(own, label), rows_by_seed(own, base)
            if set(ours) & set(theirs):
                compared[dataset] = seeded_comparison(theirs, ours)
        if not compared:
            continue
        corrected = correct_over_datasets({d: c.pooled for d, c in compared.items()})
        told += [
            Above(dataset, label, base, tuple(one.by_seed), corrected[dataset], one.full)
            for dataset, one in compared.items()
        ]
    return told


def write_above(told: Sequence[Above], path: Path) -> None:
    """Write one JSON object per comparison. Rates in [0, 1]."""
    path.write_text(json.dumps([_record(one) for one in told], indent=2) + "\n", encoding="utf-8")


def _record(one: Above) -> Mapping[str, Any]:
    hits, full = one.hits, one.full
    return {
        "dataset": one.dataset,
        "method": one.label,
        "against": one.base,
        "n": hits.n,
        "seeds": list(one.seeds),
        "hr1": hits.rate_b.mean,
        "hr1_difference": hits.difference.mean,
        "hr1_low": hits.difference.low,
        "hr1_high": hits.difference.high,
        "p_holm": hits.p_holm,
        "ndcg10_difference": None if full is None else full.mean,
        "ndcg10_low": None if full is None else full.low,
        "ndcg10_high": None if full is None else full.high,
        "shown": one.shown,
    }
