"""People of known types, whose next item is known as well as it can be: data for a study, not for a product.

Items stand on a ring of places, a few to a place. Somebody's next item lies a step further along the ring:
with chance h (how different people are) his type's step, else the step that all types share; one time in
five it lies anywhere. Types come in opposite pairs (+1 and −1, +7 and −7), so that what helps one type
misleads its opposite. At h = 0 everybody is alike; at h = 1 types share nothing.

Two kinds of such worlds. In the first all items of a place are equally likely: only the order of a history
tells a type, and no single item of it. In the second ("shown") a place's items are of four colours, and
with chance h somebody takes one of his type's colour: whoever looks at what was taken, in any order, knows
the type and with it how to go on.

The best answer to "what comes next" is the likeliest place given the type, and is computed from the same
numbers that drew the data.

Shapes: n cases, C candidates, N items.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.catalog import Catalog, Item
from core.data.dataset import Case, Dataset
from core.data.leave_one_out import leave_one_out
from core.domain import domain_of
from core.routing import Floats, Indices

PLACES, PER_PLACE = 40, 5
STEPS = (1, -1, 7, -7)
"""Of the types, along the ring."""
SHARED = 13
"""The step of everybody."""
ANYWHERE = 0.2
LENGTHS = (16, 28)
"""Items of a person, at least and at most."""
COLOURS = ("red", "green", "blue", "yellow")
"""Of the types, in the same order; with them a place has `PER_COLOUR` items of each."""
PER_COLOUR = 3
STREAM = 4242
TERMS = "Made up by ilora for a study; no terms."
DOMAIN = domain_of("stop", "visited")


@dataclass(frozen=True)
class World:
    """A made-up population.

    Attributes:
        heterogeneity: h in [0, 1].
        people: how many; types are equally frequent.
        seed: of everything drawn.
        shown: whether what people take shows their type.
    """

    heterogeneity: float
    people: int = 800
    seed: int = 1
    shown: bool = False

    @property
    def name(self) -> str:
        """As a recipe names it: ring-50 is h = 0.5, ring-50-shown the same with types shown."""
        return f"ring-{round(100 * self.heterogeneity)}{'-shown' if self.shown else ''}"

    @classmethod
    def named(cls, name: str) -> "World | None":
        """The world of that name; None for names of anything else."""
        found = re.fullmatch(r"ring-(\d{1,2}|100)(-shown)?", name)
        return None if found is None else cls(int(found[1]) / 100, shown=found[2] is not None)

    @property
    def per_place(self) -> int:
        """Items of a place."""
        return PER_COLOUR * len(COLOURS) if self.shown else PER_PLACE

    def colours(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices into `COLOURS` of items; where types are not shown, items have none."""
        return items % self.per_place // PER_COLOUR

    @cached_property
    def choices(self) -> NDArray[np.float64]:
        """[types, per_place]: chance of each item of a place for who is there, whatever he has had."""
        if not self.shown:
            return np.full((len(STEPS), PER_PLACE), 1 / PER_PLACE)
        own = self.colours(np.arange(self.per_place)) == np.arange(len(STEPS))[:, None]
        h = self.heterogeneity
        return h * own / PER_COLOUR + (1 - h) / self.per_place

    @property
    def types(self) -> NDArray[np.int64]:
        """[people], each 0 .. 3."""
        return np.arange(self.people) % len(STEPS)

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """[types, places, places]: chance of the next place, given the last."""
        places = np.arange(PLACES)
        chances = np.full((len(STEPS), PLACES, PLACES), ANYWHERE / PLACES)
        for kind, step in enumerate(STEPS):
            own, shared = (places + step) % PLACES, (places + SHARED) % PLACES
            chances[kind, places, own] += (1 - ANYWHERE) * self.heterogeneity
            chances[kind, places, shared] += (1 - ANYWHERE) * (1 - self.heterogeneity)
        return chances

    def dataset(self) -> Dataset:
        """The population as a data set with the split `loo`; nobody has an item twice."""
        sequences = tuple(self._sequence(person) for person in range(self.people))
        loo = leave_one_out(sequences)
        items = [self._item(index) for index in range(PLACES * self.per_place)]
        counts = np.bincount([i for sequence in loo.train for i in sequence], minlength=len(items))
        catalog = Catalog(items, popularity=counts.tolist())
        users = tuple(f"p{person}" for person in range(self.people))
        return Dataset(self.name, catalog, users, sequences, {"loo": loo}, TERMS, DOMAIN)

    def _item(self, index: int) -> Item:
        place, number = divmod(index, self.per_place)
        colour = (COLOURS[number // PER_COLOUR],) if self.shown else ()
        return Item(index, str(index), f"Stop {number + 1} of line {place + 1}", None, colour)

    def _sequence(self, person: int) -> tuple[int, ...]:
        generator = np.random.default_rng([STREAM, self.seed, person])
        chances, choices = self.chances[self.types[person]], self.choices[self.types[person]]
        size = self.per_place
        length = int(generator.integers(LENGTHS[0], LENGTHS[1] + 1))
        place = int(generator.integers(PLACES))
        taken: list[int] = []
        while len(taken) < length:
            free = sorted({place * size + number for number in range(size)} - set(taken))
            likely = choices[[item % size for item in free]]
            if likely.sum() > 0:  # at h = 1 a place is used up where one's own colour is
                # Equal chances are drawn as numbers without chances are: worlds stay as they were.
                own = likely / likely.sum() if self.shown else None
                taken.append(int(generator.choice(free, p=own)))
            # From the last item's place, also after a place that was used up.
            place = int(generator.choice(PLACES, p=chances[taken[-1] // size]))
        return tuple(taken)

    def best_scores(self, cases: Sequence[Case], candidates: Indices) -> Floats:
        """Chance of each candidate given the last item and the type: [n, C], the best there is."""
        kinds = self.types[[case.user for case in cases]]
        last = np.array([case.history[-1] for case in cases]) // self.per_place
        chances = self.chances[kinds, last]  # (n, places)
        there = np.take_along_axis(chances, candidates // self.per_place, axis=1)
        taken = np.take_along_axis(self.choices[kinds], candidates % self.per_place, axis=1)
        return (there * taken).astype(np.float32)


def expected_hits(scores: Floats, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance that a target comes first when equal scores are ordered by lot: [n] float64.

    Args:
        scores: [n, C].
        columns: [n], the target's.
    """
    highest = scores.max(1, keepdims=True)
    first = scores == highest
    target = np.take_along_axis(first, columns[:, None], axis=1)[:, 0]
    return target / first.sum(1)
