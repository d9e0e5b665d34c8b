"""What a data set is: a catalogue, every user's ordered sequence, and named splits. Frozen between rooms."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from functools import cached_property

from core.catalog import Catalog
from core.domain import MOVIES, Domain
from core.errors import DataError

Sequence = tuple[int, ...]
"""Dense item indices of one user, oldest first."""


@dataclass(frozen=True)
class Case:
    """One question with a known answer.

    Attributes:
        user: index into `Dataset.users`.
        history: every item known before the target, oldest first (evaluators cut to the last 10).
        target: the item that really came next.
    """

    user: int
    history: Sequence
    target: int


@dataclass(frozen=True)
class Split:
    """Who trains and who is asked.

    Attributes:
        name: `paper` (published, users disjoint) or `loo` (last item of every user).
        train: one sequence per training user, oldest first; nothing of a target is in it.
        train_users: their indices, in the order of `train`.
        validation: cases for choosing.
        test: cases for reporting.
        disjoint_users: whether nobody of training, validation and test may be in another of the three.
        distinct_windows: whether users are known by windows, so that one person might stand under two names,
            and the split promises that nobody trains on what another is asked.
    """

    name: str
    train: tuple[Sequence, ...]
    train_users: tuple[int, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    disjoint_users: bool = False
    distinct_windows: bool = False

    @property
    def interactions(self) -> int:
        """How many interactions train."""
        return sum(map(len, self.train))


@dataclass(frozen=True)
class Dataset:
    """A catalogue with its users.

    Attributes:
        name: as in the registry and in `ilora data describe NAME`.
        catalog: N items.
        users: external user ids; a user's index is his position here.
        sequences: every user's whole sequence, oldest first; candidates never come from it.
        splits: by name.
        terms: under which terms the data may be used, for people.
        domain: what its items are called.
    """

    name: str
    catalog: Catalog = field(repr=False)
    users: tuple[str, ...] = field(repr=False)
    sequences: tuple[Sequence, ...] = field(repr=False)
    splits: Mapping[str, Split] = field(repr=False)
    terms: str
    domain: Domain = MOVIES

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.catalog)

    @property
    def interactions(self) -> int:
        """How many interactions there are in all."""
        return sum(map(len, self.sequences))

    def split(self, name: str) -> Split:
        """A split by name. Raises DataError naming the ones there are."""
        if name not in self.splits:
            raise DataError(f'{self.name} has no split "{name}"; it has: {", ".join(sorted(self.splits))}.')
        return self.splits[name]

    @cached_property
    def sha256(self) -> str:
        """Content hash over catalogue, users, sequences, splits and wording; the same on every machine."""
        content: list[object] = [
            self.name,
            [[item.item_id, item.title, item.year, item.genres] for item in self.catalog.items],
            self.users,
            self.sequences,
            [
                [split.name, split.train, split.train_users, _plain(split.validation), _plain(split.test)]
                for _, split in sorted(self.splits.items())
            ],
        ]
        if self.domain != MOVIES:  # hashes of films were given out before there were other kinds
            content.append(astuple(self.domain))
        canonical = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _plain(cases: tuple[Case, ...]) -> list[tuple[int, Sequence, int]]:
    return [(case.user, case.history, case.target) for case in cases]
