"""Ratios inside one run: everybody in turns, so that whatever else the machine does is shared out fairly."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np


@dataclass(frozen=True)
class Measured:
    """A number with its middle half. `low` and `high` are the quartiles, `repeats` how many were taken."""

    value: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, numbers: list[float]) -> "Measured":
        low, high = np.quantile(numbers, [0.25, 0.75])
        return cls(median(numbers), float(low), float(high), len(numbers))


@dataclass(frozen=True)
class InTurns:
    """Seconds of every run, round by round."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        return median(self.seconds[name])

    def of(self, name: str) -> Measured:
        """Seconds of one."""
        return Measured.of(self.seconds[name])

    def ratio(self, name: str, over: str) -> Measured:
        """Time of `name` over that of `over`, each round by itself: what drifts, drifts for both."""
        pairs = zip(self.seconds[name], self.seconds[over], strict=True)
        return Measured.of([one / other for one, other in pairs])


def in_turns(runs: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> InTurns:
    """Time all of them once a round, A B C A B C, after `warm_up` rounds that are thrown away."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.freeze()  # what is there stays: to look through it takes longer than a short round does
    try:
        for number in range(warm_up + rounds):
            gc.collect()
            gc.disable()
            for name, run in runs.items():
                began = time.perf_counter()
                run()
                if number >= warm_up:
                    seconds[name].append(time.perf_counter() - began)
            gc.enable()
    finally:
        gc.enable()
        gc.unfreeze()
    return InTurns(seconds)
