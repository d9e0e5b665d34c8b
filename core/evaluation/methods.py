"""The one interface of everything that is evaluated: a row of a table that answers the questions of a split.

Shapes: n rows asked at once, N catalogue items, C candidates, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.routing import Floats, Indices


@dataclass(frozen=True)
class Identity:
    """Which row of a table a method is, and what it was made from. Known before anything slow is loaded.

    Attributes:
        label: what people read: "iLoRA", "LoRA + SASRec", "Popularity".
        run: the run folder's name; for a baseline what it was made from.
        seed: of the training run; None where nothing is random.
        recipe: sha256 of everything that was set.
        weights: sha256 of everything that was trained; "" where nothing is kept.
        train_samples: rows trained on; None for what is not trained in steps.
        train_minutes: None where unknown.
    """

    label: str
    run: str
    seed: int | None = None
    recipe: str = ""
    weights: str = ""
    train_samples: int | None = None
    train_minutes: float | None = None


@dataclass(frozen=True)
class Answers:
    """What a method says to n cases. A row that holds a NaN is no valid answer: a miss, counted as invalid.

    Attributes:
        scores: [n, N] float32 of the whole catalogue; None when the method cannot rank all of it.
        candidates: [n, C] float32 per candidate table.
        gate: [n, K] float32; None for a method without experts.
        cluster: n labels, the users' clusters in the space of the method's encoder; None without encoder.
    """

    scores: Floats | None
    candidates: tuple[Floats, ...]
    gate: Floats | None = None
    cluster: Sequence[str] | None = None


class Method(Protocol):
    """A row of a table, bound to the questions it is asked."""

    @property
    def identity(self) -> Identity: ...

    @property
    def note(self) -> str:
        """What a reader of the row must know, such as a weight chosen on validation users; "" for nothing."""
        ...

    def answer(self, rows: Indices) -> Answers:
        """Answers to the cases at `rows` (int64, n of them) of the questions, independent of other calls."""
        ...


def pick(scores: Floats, tables: tuple[Indices, ...]) -> tuple[Floats, ...]:
    """Scores of the catalogue [n, N] -> those of each table's candidates [n, C]."""
    return tuple(np.take_along_axis(scores, table, axis=1) for table in tables)


def only(chosen: npt.ArrayLike, width: int) -> Floats:
    """Candidate scores of a method that names one candidate instead of ranking them all: [n, C] float32.

    Args:
        chosen: [n] int, the column of the candidate that was named; -1 for an answer that names none.
        width: C.
    """
    columns = np.asarray(chosen, dtype=np.int64)
    scores = np.zeros((len(columns), width), dtype=np.float32)
    scores[columns < 0] = np.nan
    named = np.flatnonzero(columns >= 0)
    scores[named, columns[named]] = 1.0
    return scores
