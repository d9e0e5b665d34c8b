"""People of known types, whose next item is known as well as it can be: data for a study, not for a product.

Items stand on a ring of places, a few to a place. Somebody's next item lies a step further along the ring:
with chance h (how different people are) his type's step, else the step that all types share; one time in
five it lies anywhere. Types come in opposite pairs (+1 and −1, +7 and −7), so that what helps one type
misleads its opposite. At h = 0 everybody is alike; at h = 1 types share nothing.

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
    """

    heterogeneity: float
    people: int = 800
    seed: int = 1

    @property
    def name(self) -> str:
        """As a recipe names it: ring-50 is h = 0.5."""
        return f"ring-{round(100 * self.heterogeneity)}"

    @classmethod
    def named(cls, name: str) -> "World | None":
        """The world of that name; None for names of anything else."""
        found = re.fullmatch(r"ring-(\d{1,2}|100)", name)
        return None if found is None else cls(int(found[1]) / 100)

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
        items = [
            Item(
                index, str(index), f"Stop {index % PER_PLACE + 1} of line {index // PER_PLACE + 1}", None, ()
            )
            for index in range(PLACES * PER_PLACE)
        ]
        counts = np.bincount([i for sequence in loo.train for i in sequence], minlength=len(items))
        catalog = Catalog(items, popularity=counts.tolist())
        users = tuple(f"p{person}" for person in range(self.people))
        return Dataset(self.name, catalog, users, sequences, {"loo": loo}, TERMS, DOMAIN)

    def _sequence(self, person: int) -> tuple[int, ...]:
        generator = np.random.default_rng([STREAM, self.seed, person])
        chances = self.chances[self.types[person]]
        length = int(generator.integers(LENGTHS[0], LENGTHS[1] + 1))
        place = int(generator.integers(PLACES))
        taken: list[int] = []
        while len(taken) < length:
            free = sorted({place * PER_PLACE + number for number in range(PER_PLACE)} - set(taken))
            if free:
                taken.append(int(generator.choice(free)))
            # From the last item's place, also after a place that was used up.
            place = int(generator.choice(PLACES, p=chances[taken[-1] // PER_PLACE]))
        return tuple(taken)

    def best_scores(self, cases: Sequence[Case], candidates: Indices) -> Floats:
        """Chance of each candidate's place given the last item and the type: [n, C], the best there is."""
        kinds = self.types[[case.user for case in cases]]
        last = np.array([case.history[-1] for case in cases]) // PER_PLACE
        chances = self.chances[kinds, last]  # (n, places)
        return np.take_along_axis(chances, candidates // PER_PLACE, axis=1).astype(np.float32)


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
