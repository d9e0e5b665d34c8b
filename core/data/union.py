"""Several data sets as one: all people, all items, nothing shared. Named by a plus: movielens+lastfm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.catalog import Catalog, Item
from core.data.dataset import Case, Dataset, Split
from core.domain import domain_of
from core.errors import DataError

PLUS = "+"
DOMAIN = domain_of()


@dataclass(frozen=True)
class Part:
    """One data set's place in a union: its items are `items` of the union's, its users `users`, in order."""

    name: str
    items: range
    users: range

    def case(self, own: Case) -> Case:
        """A case of the data set as the union knows it."""
        return Case(
            own.user + self.users.start,
            tuple(item + self.items.start for item in own.history),
            own.target + self.items.start,
        )


def parts_of(datasets: Sequence[Dataset]) -> tuple[Part, ...]:
    """Where each data set lies in their union."""
    parts, item, user = [], 0, 0
    for dataset in datasets:
        items, users = range(item, item + dataset.num_items), range(user, user + len(dataset.users))
        parts.append(Part(dataset.name, items, users))
        item, user = items.stop, users.stop
    return tuple(parts)


def union(datasets: Sequence[Dataset]) -> Dataset:
    """One data set of several, with the split `loo`: their training sequences and cases one after the other.

    What an item is stands first among its genres ("Movie", "Artist"), since the words around a history can
    no longer say it.

    Raises:
        DataError: a data set has no split `loo`, or is named twice.
    """
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        raise DataError(f"{PLUS.join(names)}: name every data set once.")
    parts, splits = parts_of(datasets), [dataset.split("loo") for dataset in datasets]
    items: list[Item] = []
    titles: set[str] = set()
    for dataset, part in zip(datasets, parts, strict=True):
        noun = dataset.domain.noun
        for item in dataset.catalog.items:
            items.append(
                replace(
                    item,
                    index=len(items),
                    item_id=f"{part.name}:{item.item_id}",
                    title=f"{item.title} ({noun})" if item.title in titles else item.title,
                    genres=(noun, *item.genres),
                )
            )
        titles |= {item.title for item in dataset.catalog.items}
    train = tuple(
        tuple(item + part.items.start for item in sequence)
        for part, split in zip(parts, splits, strict=True)
        for sequence in split.train
    )
    loo = Split(
        name="loo",
        train=train,
        train_users=tuple(
            user + part.users.start
            for part, split in zip(parts, splits, strict=True)
            for user in split.train_users
        ),
        validation=tuple(p.case(c) for p, s in zip(parts, splits, strict=True) for c in s.validation),
        test=tuple(p.case(c) for p, s in zip(parts, splits, strict=True) for c in s.test),
    )  # windows of one person under two names were looked for when each data set was loaded
    counts = [0] * len(items)
    for sequence in train:
        for index in sequence:
            counts[index] += 1
    return Dataset(
        name=PLUS.join(names),
        catalog=Catalog(items, popularity=counts),
        users=tuple(
            f"{part.name}:{user}" for d, part in zip(datasets, parts, strict=True) for user in d.users
        ),
        sequences=tuple(
            tuple(item + part.items.start for item in sequence)
            for dataset, part in zip(datasets, parts, strict=True)
            for sequence in dataset.sequences
        ),
        splits={"loo": loo},
        terms=" ".join(dict.fromkeys(dataset.terms for dataset in datasets)),
        domain=DOMAIN,
    )
