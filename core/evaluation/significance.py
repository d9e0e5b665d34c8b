"""Could a difference be chance: the exact paired test, its correction over data sets, and what n can show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from core.evaluation.intervals import per_person


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test on paired hits: how often only a, only b hit, and the two-sided p."""

    only_a: int
    only_b: int
    p: float


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> McNemar:
    """Paired hits a, b [n] of the same people -> exact two-sided McNemar (binomial over discordant pairs).

    With several draws, [n, D], it is the sign test that McNemar's is a case of: only_a counts the people whom
    a serves better on average, only_b those whom b does; equals say nothing. n stays the number of people.

    Raises:
        ValueError: a and b are not of the same shape, or empty.
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"paired hits are needed, got shapes {np.shape(a)} and {np.shape(b)}")
    hits_a, hits_b = per_person(a), per_person(b)
    only_a, only_b = int((hits_a > hits_b).sum()), int((hits_b > hits_a).sum())
    discordant = only_a + only_b
    p = float(binomtest(only_b, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, p)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p of several tests, in their order (Holm 1979): below alpha is shown, whatever the others are.

    The smallest of m is multiplied by m, the next by m - 1, ..., none below one that was smaller.

    Raises:
        ValueError: a value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p values lie in [0, 1], got {tuple(p_values)}")
    adjusted, floor = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = floor
    return tuple(adjusted)


def detectable_difference(discordance: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference of two paired rates that n people show with this power, two-sided.

    Connor 1987 (Biometrics 43, 207-211) gives the n for McNemar's test from the difference d and the share s
    of people for whom exactly one of the two hits:

        n d^2 = (z_alpha sqrt(s) + z_beta sqrt(s - d^2))^2,  z_alpha = z(1 - alpha / 2), z_beta = z(power).

    Solved for d: d = c sqrt(s) with c = (z_alpha sqrt(n) + z_beta sqrt(n + z_beta^2 - z_alpha^2)) /
    (n + z_beta^2). A difference cannot exceed s: where c sqrt(s) would, the discordance itself has to grow
    with the difference, and s = d gives d = c^2. The test's exact form needs slightly more.

    Args:
        discordance: s, observed; with several draws the mean squared difference, which is s for one draw.

    Returns:
        A rate in (0, 1], 1 where not even the greatest difference would be shown.

    Raises:
        ValueError: n < 1, or discordance outside [0, 1].
    """
    if n < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"a discordance of {discordance} over {n} people is not possible")
    z_alpha, z_beta = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    rest = max(0.0, n + z_beta**2 - z_alpha**2)
    c = (z_alpha * np.sqrt(n) + z_beta * np.sqrt(rest)) / (n + z_beta**2)
    return float(min(1.0, c * max(np.sqrt(discordance), c)))
