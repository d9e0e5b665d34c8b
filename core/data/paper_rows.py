"""The rows that the papers train and ask: the last ten items before a position, and the item there."""

from collections.abc import Iterable
from typing import Literal

from core.data.dataset import Dataset

PAPER_HISTORY = 10
PAPER_MIN_HISTORY = 3
"""The published rows hold the last 10 items, and only rows with at least 3 are kept."""


def paper_rows(
    dataset: Dataset, part: Literal["train", "validation", "test"]
) -> list[tuple[tuple[int, ...], int]]:
    """The published rows (history of at most 10, next item) of the `paper` split, in the published order.

    Where training users are known by a window only, every prefix of it is a row.
    """
    split = dataset.split("paper")
    if part == "train":
        pairs: Iterable[tuple[tuple[int, ...], int]] = (
            (sequence[:position], sequence[position])
            for sequence in split.train
            for position in range(len(sequence))
        )
    else:
        cases = split.validation if part == "validation" else split.test
        pairs = ((case.history, case.target) for case in cases)
    return [
        (history[-PAPER_HISTORY:], target) for history, target in pairs if len(history) >= PAPER_MIN_HISTORY
    ]
