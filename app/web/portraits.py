"""Who leans on which expert, in words computed from histories; and example visitors, named the same way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.catalog import Catalog, Item

LEANING = 0.1
"""An expert is described by the tenth of all people who lean on it most; so one that leads nobody has a
portrait too, and every portrait rests on the same number of people."""
MIN_T, MIN_LIFT = 3.0, 1.15
"""A trait is told only if it is beyond chance (Welch's t; about 25 traits x K experts are looked at) and
large enough to notice."""
TELLING_SHARE = 1 / 3
"""An example person is named by traits that at least this part of the history has."""
TITLES = 25
"""So many titles stand for tastes where nothing has a genre: as many as there are genres elsewhere."""
_ERAS = ((1970, "pre-1970"), (1980, "1970s"), (1990, "1980s"))


@dataclass(frozen=True)
class Trait:
    """Something a group of people has more of than everybody else.

    Attributes:
        name: a genre, or an era such as "1980s titles".
        lift: mean share among the group divided by the mean share among the others.
    """

    name: str
    lift: float


@dataclass(frozen=True)
class Portrait:
    """One expert, described by the people who lean on it most.

    Attributes:
        expert: 0 .. K-1.
        share: its mean weight over all people.
        leads: how many people have it as their largest weight.
        group: how many people the traits are computed from.
        traits: the two surest, at most one of them an era; empty when nothing stands out.
    """

    expert: int
    share: float
    leads: int
    group: int
    traits: tuple[Trait, ...]

    @property
    def words(self) -> str:
        """The traits as one phrase, or an empty string."""
        return join_words([trait.name for trait in self.traits])


def join_words(words: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def traits_of(item: Item, many: str = "titles") -> tuple[str, ...]:
    """An item's genres and, where its year is known and not the usual one, its era ("1980s titles")."""
    era = next((name for end, name in _ERAS if item.year is not None and item.year < end), None)
    return (*item.genres, f"{era} {many}") if era is not None else item.genres


def is_era(trait: str) -> bool:
    """Whether a trait is an era, and not a genre."""
    return trait.startswith(tuple(f"{name} " for _, name in _ERAS))


def trait_shares(
    catalog: Catalog, histories: Sequence[Sequence[int]], many: str = "titles"
) -> tuple[list[str], NDArray[np.float64]]:
    """U histories -> T trait names and [U, T] shares: which part of each history has the trait.

    Traits are genres and eras; in a catalogue that has neither, the titles that most histories hold. `many`
    is what several items are called.
    """
    names = sorted({trait for item in catalog.items for trait in traits_of(item, many)})
    if not names:
        return _title_shares(catalog, histories)
    column = {name: position for position, name in enumerate(names)}
    shares = np.zeros((len(histories), len(names)))
    for row, history in zip(shares, histories, strict=True):
        for index in history:
            row[[column[trait] for trait in traits_of(catalog[index], many)]] += 1 / len(history)
    return names, shares


def _title_shares(
    catalog: Catalog, histories: Sequence[Sequence[int]]
) -> tuple[list[str], NDArray[np.float64]]:
    holders = Counter(index for history in histories for index in set(history))
    titles = [index for index, _ in holders.most_common(TITLES)]
    column = {index: position for position, index in enumerate(titles)}
    shares = np.zeros((len(histories), len(titles)))
    for row, history in zip(shares, histories, strict=True):
        for index in history:
            if index in column:
                row[column[index]] += 1 / len(history)
    return [catalog[index].name for index in titles], shares


def portraits(
    gates: NDArray[np.float32], names: Sequence[str], shares: NDArray[np.float64]
) -> tuple[Portrait, ...]:
    """Gates [U, K] and trait shares [U, T] of the same U people -> K portraits."""
    people, experts = gates.shape
    group = max(2, round(LEANING * people))
    leaders = gates.argmax(1)
    told = []
    for expert in range(experts):
        order = np.argsort(-gates[:, expert], kind="stable")
        inside, outside = shares[order[:group]], shares[order[group:]]
        traits = standing_out(names, inside, outside) if len(outside) > 1 else ()
        told.append(
            Portrait(expert, float(gates[:, expert].mean()), int((leaders == expert).sum()), group, traits)
        )
    return tuple(told)


def standing_out(
    names: Sequence[str], inside: NDArray[np.float64], outside: NDArray[np.float64]
) -> tuple[Trait, ...]:
    """What a group's shares [I, T] hold more of than the others' [O, T], beyond chance."""
    difference = inside.mean(0) - outside.mean(0)
    error = np.sqrt(inside.var(0, ddof=1) / len(inside) + outside.var(0, ddof=1) / len(outside))
    t = np.divide(difference, error, out=np.zeros_like(difference), where=error > 0)
    lift = np.divide(
        inside.mean(0), outside.mean(0), out=np.zeros_like(difference), where=outside.mean(0) > 0
    )
    chosen = [i for i in np.argsort(-t, kind="stable") if t[i] >= MIN_T and lift[i] >= MIN_LIFT]
    eras, genres = ([i for i in chosen if is_era(names[i]) is era] for era in (True, False))
    # Two words, the surest ones; of eras one is enough, and it is said last: "Action and 1980s titles".
    kept = sorted([*genres[:2], *eras[:1]], key=chosen.index)[:2]
    kept.sort(key=lambda i: is_era(names[i]))
    return tuple(Trait(names[i], float(lift[i])) for i in kept)


def choose_visitors(names: Sequence[str], shares: NDArray[np.float64], count: int) -> list[tuple[int, str]]:
    """Example people for the page: [U, T] shares -> `count` pairs (row, words), chosen by taste alone.

    Each is the person whose history is most unlike the average in one trait that nobody chosen before is
    named by. What a model makes of them plays no part, so the examples flatter no method.
    """
    surplus = shares - shares.mean(0)
    free = surplus.copy()
    chosen: list[tuple[int, str]] = []
    while len(chosen) < count and free.size and free.max() > 0:
        row = int(np.unravel_index(int(free.argmax()), free.shape)[0])
        order = np.argsort(-surplus[row], kind="stable")
        telling = [i for i in order if shares[row, i] >= TELLING_SHARE][:2] or [order[0]]
        chosen.append((row, join_words([names[i] for i in telling])))
        free[row], free[:, telling] = -1.0, -1.0
    return chosen


def fill_visitors(
    chosen: Sequence[tuple[int, str]], lasts: Sequence[Item], popularity: Sequence[int], done: str, count: int
) -> list[tuple[int, str]]:
    """More example people where tastes name too few: `count` in all.

    Each is the first person whose last item is a popular one that nobody before ended with, and is named by
    it.

    Args:
        lasts: U, the last item of every history.
        popularity: of every item.
        done: what people did with items: "played".
    """
    filled, rows = list(chosen), {row for row, _ in chosen}
    endings: set[int] = set()
    for row in sorted(range(len(lasts)), key=lambda row: -popularity[lasts[row].index]):
        if len(filled) >= count:
            break
        if row not in rows and lasts[row].index not in endings:
            filled.append((row, f"last {done}: {lasts[row].name}"))
            endings.add(lasts[row].index)
    return filled
