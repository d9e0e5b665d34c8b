"""What mattered: the same question with each item of the history left out in turn (leave-one-out).

A counterfactual, not a cause: it says what the model would have answered, not why the person chose.

Shapes: P items that may be ranked, M items left out one at a time, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.ordering import Scores, log_softmax
from core.recommendation import AdapterName, RankedItem
from core.routing import Indices


@dataclass(frozen=True)
class Omission:
    """The answer without one item of the history.

    Attributes:
        index: the item left out.
        shift: how much of the probability goes to other items, in [0, 1]: total variation distance, half the
            sum of all absolute changes.
        probability: what is left for the item that the whole history puts first.
        rank: where that item stands now.
        entered: items that are among the first k only now, best first.
        left: items that were among the first k before, best first.
        gate: K expert weights now; empty for adapters without experts, and where nothing is left to read.
    """

    index: int
    shift: float
    probability: float
    rank: int
    entered: tuple[int, ...]
    left: tuple[int, ...]
    gate: tuple[float, ...]


@dataclass(frozen=True)
class Explanation:
    """A list, and what each item of the history does to it.

    Attributes:
        items: the first k with the whole history.
        gate: K expert weights with the whole history; empty for adapters without experts.
        adapter: lora or ilora.
        omissions: one per item left out, the strongest first.
        ranked: P, how many items the probabilities are among. They are the same in every row: what was left
            out of the history does not come back as a recommendation.
        milliseconds: for all rows together.
        notes: plain sentences.
    """

    items: tuple[RankedItem, ...]
    gate: tuple[float, ...]
    adapter: AdapterName
    omissions: tuple[Omission, ...]
    ranked: int
    milliseconds: float
    notes: tuple[str, ...] = ()


def omissions(
    left_out: Sequence[int],
    pool: Indices,
    scores: Scores,
    gates: Sequence[tuple[float, ...]],
    k: int,
) -> tuple[Omission, ...]:
    """One record per item left out, strongest first; equally strong ones in the order of the history.

    Args:
        left_out: M items, in the order of the history.
        pool: [P] the items that were ranked.
        scores: [1 + M, P]: of the whole history, then without each item.
        gates: M mixtures, possibly empty.
    """
    probabilities = np.exp(log_softmax(scores))
    orders = np.argsort(-scores, axis=1, kind="stable")  # (1 + M, P)
    before, first = pool[orders[0, :k]], int(orders[0, 0])
    told = []
    for row, (index, gate) in enumerate(zip(left_out, gates, strict=True), start=1):
        now = pool[orders[row, :k]]
        told.append(
            Omission(
                index=index,
                shift=float(0.5 * np.abs(probabilities[row] - probabilities[0]).sum()),
                probability=float(probabilities[row, first]),
                rank=1 + int(np.flatnonzero(orders[row] == first)[0]),
                entered=tuple(int(item) for item in now if item not in before),
                left=tuple(int(item) for item in before if item not in now),
                gate=gate,
            )
        )
    return tuple(sorted(told, key=lambda omission: -omission.shift))
