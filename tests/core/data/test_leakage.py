"""A planted leak is found, whoever plants it; a fair repetition is not one."""

import dataclasses

import pytest

from core.catalog import Catalog, Item
from core.data.dataset import Case, Dataset, Split
from core.data.leakage import check_no_leak
from core.data.leave_one_out import leave_one_out
from core.errors import DataError


def _with_split(dataset: Dataset, **changes: object) -> Dataset:
    split = dataclasses.replace(dataset.split("loo"), **changes)  # type: ignore[arg-type]
    return dataclasses.replace(dataset, splits={**dataset.splits, "loo": split})


def test_the_real_splits_are_clean(movielens: Dataset) -> None:
    check_no_leak(movielens)


@pytest.mark.parametrize("asked", ["validation", "test"])
def test_a_target_appended_to_training_is_found(movielens: Dataset, asked: str) -> None:
    split = movielens.split("loo")
    case: Case = getattr(split, asked)[17]
    train = list(split.train)
    train[17] = (*case.history, case.target)
    with pytest.raises(DataError, match=rf'"loo" of movielens leaks.*user {movielens.users[case.user]} '):
        check_no_leak(_with_split(movielens, train=tuple(train)))


def test_a_target_hidden_in_the_middle_of_training_is_found(movielens: Dataset) -> None:
    split = movielens.split("loo")
    train = list(split.train)
    train[3] = (*train[3][:2], split.test[3].target, *train[3][2:])
    with pytest.raises(DataError, match="leaks"):
        check_no_leak(_with_split(movielens, train=tuple(train)))


def test_an_earlier_visit_to_the_target_is_history_not_a_leak() -> None:
    catalog = Catalog(Item(i, f"id{i}", f"title {i}") for i in range(4))
    sequences = ((0, 1, 0, 2, 0, 3, 0),)
    splits = {"loo": leave_one_out(sequences)}
    assert splits["loo"].test[0].target in splits["loo"].train[0]
    check_no_leak(Dataset("revisits", catalog, ("ann",), sequences, splits, "none"))


def test_users_with_too_few_items_are_left_out_of_loo() -> None:
    split: Split = leave_one_out([(0, 1, 2, 3), (0, 1, 2, 3, 4)])
    assert (split.train_users, split.train) == ((1,), ((0, 1, 2),))
