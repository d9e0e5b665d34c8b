"""What a recommendation is: frozen records that the CLI, the page, HTTP and batch files all show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AdapterName = Literal["base", "lora", "ilora"]
Stage = Literal["catalogue", "branch", "title", "popular"]
"""Who made the order: catalogue mode, branch mode, the untrained model's title likelihood, or popularity."""


@dataclass(frozen=True)
class RankedItem:
    """One line of a list. `probability` is among the items that were ranked (see `Recommendation.ranked`)."""

    rank: int
    index: int
    item_id: str
    title: str
    score: float
    probability: float


@dataclass(frozen=True)
class Recommendation:
    """A finished list with its reasons.

    Attributes:
        items: best first.
        gate: K expert weights that were used (sums to 1); empty for adapters without experts.
        adapter: base, lora or ilora.
        stage: who made the order.
        ranked: how many items the probabilities are among (the catalogue, or the candidates).
        timings_ms: milliseconds by step: "routing", "retrieval", "ranking", "total".
        notes: plain sentences about what was done ("empty history: the most watched titles").
    """

    items: tuple[RankedItem, ...]
    gate: tuple[float, ...]
    adapter: AdapterName
    stage: Stage
    ranked: int
    timings_ms: dict[str, float]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Comparison:
    """The same history and candidates under several adapters.

    Attributes:
        candidates: dense indices that every list is an order of, ascending.
        lists: by adapter.
    """

    candidates: tuple[int, ...]
    lists: Mapping[AdapterName, Recommendation]
