"""When iLoRA counts as better (PROTOCOL): it must beat LoRA, and gates that know nothing of the person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.evaluation.comparison import PairedComparison

Opponent = Literal["lora", "static", "shuffled"]
"""Plain LoRA; one learned gate for everybody; another person's gate."""
OPPONENTS: tuple[Opponent, ...] = get_args(Opponent)


@dataclass(frozen=True)
class Ruling:
    """Whether a method counts as better, and why, in a sentence."""

    better: bool
    reason: str


def counts_as_better(against: Mapping[Opponent, PairedComparison]) -> Ruling:
    """The rule, from one comparison with each opponent as a and the method that is judged as b.

    To beat is to be shown better: the interval above zero and p below .05 (Holm's where it was corrected).
    A gain over LoRA alone may come from more freedom in training, or from noise; only a gain over a gate that
    is learned but the same for all, and over a gate that is somebody else's, comes from the person. Without
    all three comparisons nothing counts as better.

    Raises:
        ValueError: the comparisons judge different methods or different numbers of people.
    """
    if len({(comparison.b, comparison.n) for comparison in against.values()}) > 1:
        judged = sorted({f"{c.b} on {c.n} people" for c in against.values()})
        raise ValueError(f"one method on one set of people is judged, got {', '.join(judged)}")
    missing = [name for name in OPPONENTS if name not in against]
    if missing:
        return Ruling(False, f"Not decided: there is no comparison with {_list(missing)}.")
    judged_name = next(iter(against.values())).b
    beaten = [against[name].a for name in OPPONENTS if against[name].winner == judged_name]
    unbeaten = [against[name].a for name in OPPONENTS if against[name].winner != judged_name]
    if not unbeaten:
        return Ruling(True, f"{judged_name} counts as better: it beats {_list(beaten)}.")
    reason = f"{judged_name} does not count as better: it is not shown to beat {_list(unbeaten)}."
    if against["lora"].winner == judged_name:
        reason += f" What it gains over {against['lora'].a} may be noise or capacity rather than the person."
    return Ruling(False, reason)


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
