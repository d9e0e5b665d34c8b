"""A run reports its own failures, each with the number that tripped (the paper's list of failures)."""

from collections.abc import Mapping
from math import log

DEAD_SHARE = 0.08
"""An expert whose mean share is below this part of an equal one, 1/K, is dead: nobody gets it."""
FLAT_SPREAD = 0.01
"""Below this standard deviation of shares between people the gate gives everybody the same mixture."""
COLLAPSED_ENTROPY = 0.1
"""Share of ln K below which everybody's gate sits on one expert."""
TOLD_NOTHING = ("static", "random", "shuffled")
"""Controls whose gate is told nothing of the person; a gate that reads his titles is."""
OVERFITTED_DROP = 0.02
"""Validation HR@1 that far below the best at the end of a run."""


def gate_alarms(numbers: Mapping[str, float], control: str | None = None) -> list[str]:
    """Sentences about the gate from the numbers a step logs; none when all is well or without a gate.

    The gate of a control that is told nothing may be flat without an alarm: a static one is by its making
    (its bias alone speaks), and ignoring what says nothing about the person is the best that a random or
    shuffled one can learn.
    """
    shares = [value for name, value in sorted(numbers.items()) if name.startswith("gate_share_")]
    if not shares:
        return []
    least = DEAD_SHARE / len(shares)
    alarms = [
        f"Expert {index} is dead: its mean share is {share:.3f}, below {least:.3f}."
        for index, share in enumerate(shares)
        if share < least
    ]
    if numbers["gate_entropy"] < COLLAPSED_ENTROPY * log(len(shares)):
        alarms.append(
            f"The gate has collapsed: its mean entropy is {numbers['gate_entropy']:.3f} "
            f"of at most ln K = {log(len(shares)):.3f}."
        )
    spread = numbers.get("gate_spread")  # a step of a single row has none
    if control not in TOLD_NOTHING and spread is not None and spread < FLAT_SPREAD:
        alarms.append(f"The gate ignores its input: shares differ between people by {spread:.4f} only.")
    return alarms


def overfitting_alarm(best: float, last: float) -> list[str]:
    """A sentence when the last validation lies clearly below the best one."""
    if best - last < OVERFITTED_DROP:
        return []
    return [f"Overfitting: validation HR@1 fell from {best:.3f} to {last:.3f}; the best weights were kept."]
