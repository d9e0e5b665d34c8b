"""A quick, position-aware check that nothing of an answer stands in training."""

from core.data.dataset import Dataset
from core.errors import DataError


def check_no_leak(dataset: Dataset) -> None:
    """A training sequence must be a beginning of the history of every case of the same user.

    Position-aware, so a data set whose users repeat items is judged fairly: an earlier visit to the target is
    history, the asked one in training is a leak.

    Raises:
        DataError: naming split, user and title of the first leak.
    """
    for split in dataset.splits.values():
        train = dict(zip(split.train_users, split.train, strict=True))
        for case in (*split.validation, *split.test):
            known = train.get(case.user, ())
            if known != case.history[: len(known)]:
                raise DataError(
                    f'Split "{split.name}" of {dataset.name} leaks: the training sequence of user '
                    f"{dataset.users[case.user]} is not the beginning of the history before the target "
                    f'"{dataset.catalog[case.target].title}".'
                )
