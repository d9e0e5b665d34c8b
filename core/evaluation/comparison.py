"""Two methods on the same people: every number PROTOCOL asks for, and the sentence they amount to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from core.evaluation.intervals import Difference, Rate, paired_bootstrap, per_person, rate
from core.evaluation.significance import McNemar, detectable_difference, holm, mcnemar_exact

ALPHA = 0.05


@dataclass(frozen=True)
class PairedComparison:
    """Method b against method a on the same n people.

    Attributes:
        a, b: names, as they stand in sentences ("LoRA", "iLoRA").
        rate_a, rate_b: HR@1 with Wilson's interval.
        difference: b - a with the bootstrap's interval over people.
        relative: (b - a) / a; None where a hits nothing.
        mcnemar: exact, two-sided.
        detectable: the smallest difference that this n shows in four of five repetitions (a rate).
        p_holm: p corrected over several data sets; None where there is one.
        datasets: over how many it was corrected.
    """

    a: str
    b: str
    rate_a: Rate
    rate_b: Rate
    difference: Difference
    relative: float | None
    mcnemar: McNemar
    detectable: float
    p_holm: float | None = None
    datasets: int = 1

    @property
    def n(self) -> int:
        """People."""
        return self.difference.n

    @property
    def p(self) -> float:
        """What decides: the corrected p where there is one."""
        return self.mcnemar.p if self.p_holm is None else self.p_holm

    @property
    def winner(self) -> str | None:
        """Whose advantage is shown: the interval is without zero *and* p is below .05; else None."""
        if self.p >= ALPHA:
            return None
        if self.difference.low > 0:
            return self.b
        return self.a if self.difference.high < 0 else None

    @property
    def verdict_sentence(self) -> str:
        """All of it in plain words, rates in per cent, differences in points."""
        told = (
            f"{self.b} {in_percent(self.rate_b)} against {self.a} {in_percent(self.rate_a)}: difference "
            f"{points(self.difference.mean, signed=True)} points "
            f"[{points(self.difference.low)}, {points(self.difference.high)}], {_p(self.mcnemar.p)}"
        )
        if self.p_holm is not None and self.datasets > 1:
            told += f" ({_p(self.p_holm)} by Holm over {self.datasets} data sets)"
        if self.winner is not None:
            return f"{told}, n = {self.n}: {self.winner} is better."
        return (
            f"{told}: no difference that {self.n} people can show; "
            f"the smallest this n would show is {points(self.detectable)} points."
        )


def compare_paired(
    a_hits: ArrayLike, b_hits: ArrayLike, seed: int, a: str = "a", b: str = "b", samples: int = 10_000
) -> PairedComparison:
    """Hits of two methods for the same people, in the same order: [n], or [n, D] for D draws of each.

    Args:
        seed: of the bootstrap.
        a, b: the methods' names.

    Raises:
        ValueError: a and b are not of the same shape, or empty.
    """
    difference = paired_bootstrap(a_hits, b_hits, seed, samples)
    rate_a, rate_b = rate(a_hits), rate(b_hits)
    discordance = float(np.mean((per_person(b_hits) - per_person(a_hits)) ** 2))
    return PairedComparison(
        a=a,
        b=b,
        rate_a=rate_a,
        rate_b=rate_b,
        difference=difference,
        relative=difference.mean / rate_a.mean if rate_a.mean > 0 else None,
        mcnemar=mcnemar_exact(a_hits, b_hits),
        detectable=detectable_difference(discordance, difference.n),
    )


def correct_over_datasets(comparisons: Mapping[str, PairedComparison]) -> dict[str, PairedComparison]:
    """The same comparison on several data sets (by name), each with Holm's p over all of them."""
    adjusted = holm([comparison.mcnemar.p for comparison in comparisons.values()])
    return {
        name: replace(comparison, p_holm=p, datasets=len(comparisons))
        for (name, comparison), p in zip(comparisons.items(), adjusted, strict=True)
    }


def mean_relative_improvement(comparisons: Sequence[PairedComparison]) -> float | None:
    """Mean over data sets of (b - a) / a; None where a hits nothing on one of them, or there are none."""
    relatives = [comparison.relative for comparison in comparisons]
    known = [relative for relative in relatives if relative is not None]
    return float(np.mean(known)) if known and len(known) == len(relatives) else None


def in_percent(told: Rate) -> str:
    """A rate with its interval: 44.9 % [41.7, 48.0]."""
    return f"{100 * told.mean:.1f} % [{100 * told.low:.1f}, {100 * told.high:.1f}]"


def points(difference: float, signed: bool = False) -> str:
    """A difference of rates in points: +2.3, or −0.4 with a real minus sign; never −0.0."""
    value = round(100 * difference, 1) + 0.0
    return f"{value:{'+' if signed else ''}.1f}".replace("-", "−")


def _p(value: float) -> str:
    if value < 0.001:
        return "p < .001"
    if value > 0.99:
        return "p > .99"
    text = f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return f"p = {text.removeprefix('0').rstrip('0')}"
