"""A batch whose rows are answered by different adapters: which rows, or which part of one row, are whose.

PEFT's convention: ``adapter_names=[...]``, one name per row, `BARE` for the backbone alone.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from torch import Tensor

from core.ilora.gating import AdapterError, GateContext

BARE = "__base__"
"""PEFT's name for rows that no adapter touches."""


@dataclass(frozen=True)
class Span:
    """Neighbouring people whom one adapter answers.

    Attributes:
        adapter: its name.
        first, last: the people, a range; a mixture's rows of theirs are this range.
        start, stop: where they lie, a range of the `MixedBatch.size` units of the batch.
        context: their mixture, where the adapter needs one; its rows are these people.
    """

    adapter: str
    first: int
    last: int
    start: int
    stop: int
    context: GateContext

    @property
    def people(self) -> int:
        return self.last - self.first

    def cut(self, source: Callable[[], Tensor], people: int) -> Callable[[], Tensor]:
        """A whole batch's mixture, one row for each of its `people`, cut to this span's."""

        def rows() -> Tensor:
            mixture = source()
            if mixture.shape[0] != people:
                raise AdapterError(
                    f"The gate has {mixture.shape[0]} rows for {people} adapter_names: give one mixture each."
                )
            return mixture[self.first : self.last]

        return rows


@dataclass(frozen=True)
class MixedBatch:
    """Spans of a batch of `size` units: a unit is a row, or a position where all people share one row."""

    spans: tuple[Span, ...]
    size: int


def check_lengths(lengths: Sequence[int], shape: tuple[int, int]) -> None:
    """Raise AdapterError where `lengths` do not divide the one row of a batch of `shape` (B, S)."""
    rows, positions = shape
    if rows != 1 or min(lengths, default=0) < 1 or sum(lengths) != positions:
        raise AdapterError(
            f"adapter_lengths={list(lengths)} does not divide {rows} rows of {positions} positions: give one"
            " row, and lengths that sum to its positions."
        )


def mixed_batch(
    names: Sequence[str], lengths: Sequence[int] | None, shape: tuple[int, int], known: Collection[str]
) -> MixedBatch:
    """Cut a batch up.

    Args:
        names: one adapter per person.
        lengths: None where every row is a person; else the positions of each person in the batch's only row,
            in order (the caller's mask keeps them apart).
        shape: (B, S) of the batch.
        known: adapters there are, beside `BARE`.

    Raises:
        AdapterError: the names are not known, or do not fit the batch.
    """
    unknown = sorted(set(names) - {BARE, *known})
    if unknown:
        raise AdapterError(f"adapter_names holds {', '.join(unknown)}; there is {', '.join([BARE, *known])}.")
    rows, positions = shape
    if lengths is None:
        if len(names) != rows:
            raise AdapterError(
                f"adapter_names has {len(names)} entries, the batch {rows} rows: name one for each."
            )
        people = [list(group) for _, group in groupby(range(rows), key=lambda row: names[row])]
        ends, size = list(range(1, rows + 1)), rows
    else:
        check_lengths(lengths, shape)
        if len(lengths) != len(names):
            raise AdapterError(
                f"adapter_names has {len(names)} entries, adapter_lengths {len(lengths)}: one per person."
            )
        ends, size = list(accumulate(lengths)), positions
        people = [[person] for person in range(len(names))]  # of unlike lengths: one by one
    starts = [0, *ends[:-1]]
    spans = tuple(
        Span(names[group[0]], group[0], group[-1] + 1, starts[group[0]], ends[group[-1]], GateContext())
        for group in people
    )
    return MixedBatch(spans, size)
