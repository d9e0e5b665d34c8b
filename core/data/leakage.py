"""Checks that nothing of an answer, and no statistic over one, can be reached from training.

What counts as a leak:

- *Position.* A training sequence must be a beginning of the history of every case of the same user, and a
  validation question a beginning of the same user's test history. Position-aware, so that an earlier visit to
  the target is history, while the asked one in training is a leak.
- *User.* Where a split promises other users (`Split.disjoint_users`), nobody of training, validation and test
  is in another of the three.
- *Window.* Where users are other people or known by a window only (`disjoint_users`, `distinct_windows`),
  the last items of a history and the target must not follow one another in training under another name.
- *Statistic.* Item counts must be those of a split's training sequences, no more and no less.

Leak or coincidence: `LEAK_RUN` items in a row. Two people share short runs by chance. The longest run that
ends in a target and stands in another person's training has 3 items in MovieLens, 2 in Steam and 3 in LastFM
on `paper`, and 3, 4 and 5 on `loo`, while overlapping windows of one person in Steam share up to 10. A `loo`
split of whole users is not held to this rule: everybody watches a series in one order.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain

from core.data.dataset import Case, Dataset, Split
from core.errors import DataError

LEAK_RUN = 6
"""So many items in a row, the last of them a target, are no coincidence between two people."""


def check_no_leak(dataset: Dataset) -> None:
    """Every check above, over every split.

    Raises:
        DataError: naming split, user and title of the first leak.
    """
    for split in dataset.splits.values():
        _check_positions(dataset, split)
        if split.disjoint_users:
            _check_users(dataset, split)
        if split.disjoint_users or split.distinct_windows:
            _check_windows(dataset, split)
    _check_catalogue(dataset)


def check_counts(dataset: Dataset, split: Split, counts: Sequence[float]) -> None:
    """That item counts [N] were taken from the split's training sequences and from nothing else.

    Raises:
        DataError: naming the first item that is counted more or less often.
    """
    trained = _trained_counts(split)
    if len(counts) != dataset.num_items:
        raise DataError(
            f"{len(counts)} counts were given for the {dataset.num_items} items of {dataset.name}."
        )
    for item, count in enumerate(counts):
        if count != trained[item]:
            raise DataError(
                f'Split "{split.name}" of {dataset.name} leaks or is not the one counted: '
                f'"{dataset.catalog[item].title}" is counted {count:g} times, but stands {trained[item]} '
                "times in training."
            )


def _check_positions(dataset: Dataset, split: Split) -> None:
    trained: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)
    for user, sequence in zip(split.train_users, split.train, strict=True):
        trained[user].append(sequence)
    for case in chain(split.validation, split.test):
        for known in trained.get(case.user, ()):
            if known != case.history[: len(known)]:
                raise DataError(
                    f'Split "{split.name}" of {dataset.name} leaks: the training sequence of user '
                    f"{dataset.users[case.user]} is not the beginning of the history before the target "
                    f'"{dataset.catalog[case.target].title}".'
                )
    chosen = {case.user: (*case.history, case.target) for case in split.validation}
    for case in split.test:
        question = chosen.get(case.user, ())
        if question != case.history[: len(question)]:
            raise DataError(
                f'Split "{split.name}" of {dataset.name} leaks: what validation asks of user '
                f"{dataset.users[case.user]} is not the beginning of the history before the test target "
                f'"{dataset.catalog[case.target].title}".'
            )


def _check_users(dataset: Dataset, split: Split) -> None:
    parts = {
        "training": set(split.train_users),
        "validation": {case.user for case in split.validation},
        "test": {case.user for case in split.test},
    }
    for one, other in (("training", "validation"), ("training", "test"), ("validation", "test")):
        both = parts[one] & parts[other]
        if both:
            raise DataError(
                f'Split "{split.name}" of {dataset.name} leaks: its users must be disjoint, but user '
                f"{dataset.users[min(both)]} is in {one} and in {other}."
            )


def _check_windows(dataset: Dataset, split: Split) -> None:
    asked: defaultdict[tuple[int, ...], list[Case]] = defaultdict(list)
    for case in chain(split.validation, split.test):
        if len(case.history) >= LEAK_RUN - 1:  # shorter ones coincide by chance
            asked[(*case.history[1 - LEAK_RUN :], case.target)].append(case)
    for user, sequence in zip(split.train_users, split.train, strict=True):
        for start in range(len(sequence) - LEAK_RUN + 1):
            for case in asked.get(sequence[start : start + LEAK_RUN], ()):
                if case.user != user:
                    raise DataError(
                        f'Split "{split.name}" of {dataset.name} leaks: the training sequence of user '
                        f"{dataset.users[user]} holds what user {dataset.users[case.user]} is asked, "
                        f'"{dataset.catalog[case.target].title}" after the same {LEAK_RUN - 1} items.'
                    )


def _check_catalogue(dataset: Dataset) -> None:
    """Popularity orders what a person finds; it must not know what is asked either."""
    popularity = dataset.catalog.popularity
    if not any(popularity) or not dataset.splits:
        return
    for split in dataset.splits.values():
        trained = _trained_counts(split)
        if all(count == trained[item] for item, count in enumerate(popularity)):
            return
    raise DataError(
        f"The catalogue of {dataset.name} leaks: its popularity counts are not those of the training "
        f"sequences of any split ({', '.join(sorted(dataset.splits))})."
    )


def _trained_counts(split: Split) -> Counter[int]:
    return Counter(chain.from_iterable(split.train))
