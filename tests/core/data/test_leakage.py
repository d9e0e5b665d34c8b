"""A planted leak is found, whoever plants it; a fair repetition is not one."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from core.catalog import Catalog, Item
from core.data.dataset import Case, Dataset, Split
from core.data.leakage import LEAK_RUN, check_counts, check_no_leak
from core.data.leave_one_out import leave_one_out
from core.data.registry import load_dataset
from core.errors import DataError


def _with_split(dataset: Dataset, name: str = "loo", **changes: object) -> Dataset:
    split = dataclasses.replace(dataset.split(name), **changes)  # type: ignore[arg-type]
    return dataclasses.replace(dataset, splits={**dataset.splits, name: split})


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


def test_a_second_training_sequence_of_a_user_hides_nothing(movielens: Dataset) -> None:
    split, case = movielens.split("loo"), movielens.split("loo").test[17]
    planted = {
        "train": ((*case.history, case.target), *split.train),
        "train_users": (case.user, *split.train_users),
    }
    with pytest.raises(DataError, match=f"training sequence of user {movielens.users[case.user]} is not"):
        check_no_leak(_with_split(movielens, **planted))


def test_a_test_target_asked_while_choosing_is_found(movielens: Dataset) -> None:
    split = movielens.split("loo")
    validation = list(split.validation)
    validation[5] = dataclasses.replace(validation[5], target=split.test[5].target)
    with pytest.raises(DataError, match="what validation asks of user"):
        check_no_leak(_with_split(movielens, validation=tuple(validation)))


@pytest.mark.parametrize(
    ("to", "of", "sentence"),
    [
        ("train", "validation", "is in training and in validation"),
        ("train", "test", "is in training and in test"),
        ("validation", "test", "is in validation and in test"),
    ],
)
def test_a_user_in_two_parts_of_a_disjoint_split_is_found(
    movielens: Dataset, to: str, of: str, sentence: str
) -> None:
    """Even with a fair beginning of his history: the published split asks people it never saw."""
    split = movielens.split("paper")
    case: Case = getattr(split, of)[7]
    planted: dict[str, object]
    if to == "train":
        planted = {
            "train": (*split.train, case.history[:4]),
            "train_users": (*split.train_users, case.user),
        }
    else:
        planted = {"validation": (*split.validation, Case(case.user, case.history[:4], case.history[4]))}
    with pytest.raises(DataError, match=f"user {movielens.users[case.user]} {sentence}"):
        check_no_leak(_with_split(movielens, "paper", **planted))


@pytest.mark.parametrize("asked", ["validation", "test"])
def test_a_window_under_another_name_is_found(movielens: Dataset, asked: str) -> None:
    split = movielens.split("paper")
    case: Case = getattr(split, asked)[7]
    other = split.train_users[3]
    planted = (*split.train[3], *case.history[-(LEAK_RUN - 1) :], case.target)
    train = tuple(
        planted if user == other else s for user, s in zip(split.train_users, split.train, strict=True)
    )
    with pytest.raises(DataError) as failed:
        check_no_leak(_with_split(movielens, "paper", train=train))
    for part in (f"training sequence of user {movielens.users[other]} holds", movielens.users[case.user]):
        assert part in str(failed.value)


def test_a_short_run_under_another_name_is_a_coincidence(movielens: Dataset) -> None:
    split = movielens.split("paper")
    case = split.test[7]
    train = ((*split.train[0], *case.history[-(LEAK_RUN - 2) :], case.target), *split.train[1:])
    check_no_leak(_with_split(movielens, "paper", train=train))


def test_overlapping_windows_of_one_person_are_found_where_windows_are_users(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published Steam windows as users of their own, nothing cut: what the loader guards against."""
    monkeypatch.setenv("ILORA_ASSET_DIR", str(shared_data))
    steam = load_dataset("steam")
    uncut = dataclasses.replace(leave_one_out(steam.sequences), distinct_windows=True)
    with pytest.raises(DataError, match=r"user train-\d+ holds what user train-\d+ is asked"):
        check_no_leak(dataclasses.replace(steam, splits={"loo": uncut}))


def test_a_series_that_everybody_watches_in_order_is_no_leak() -> None:
    catalog = Catalog(Item(i, f"id{i}", f"episode {i}") for i in range(12))
    sequences = (tuple(range(12)), tuple(range(10)))
    check_no_leak(
        Dataset("series", catalog, ("ann", "bob"), sequences, {"loo": leave_one_out(sequences)}, "none")
    )


def test_popularity_taken_from_more_than_training_is_found(movielens: Dataset) -> None:
    split = movielens.split("loo")
    trained = Counter(item for sequence in split.train for item in sequence)
    everything = Counter(item for sequence in movielens.sequences for item in sequence)
    check_counts(movielens, split, [trained[item] for item in range(1682)])
    with pytest.raises(DataError, match=r'Split "loo" of movielens leaks .* is counted \d+ times'):
        check_counts(movielens, split, [everything[item] for item in range(1682)])
    with pytest.raises(DataError, match="1681 counts were given for the 1682 items"):
        check_counts(movielens, split, [trained[item] for item in range(1681)])


def test_one_answer_in_the_counts_is_named(movielens: Dataset) -> None:
    split = movielens.split("loo")
    trained = Counter(item for sequence in split.train for item in sequence)
    trained[split.test[0].target] += 1
    title = movielens.catalog[split.test[0].target].title
    with pytest.raises(DataError) as failed:
        check_counts(movielens, split, [trained[item] for item in range(1682)])
    assert title in str(failed.value)


def test_a_catalogue_that_knows_the_answers_is_found(movielens: Dataset) -> None:
    everything = Counter(item for sequence in movielens.sequences for item in sequence)
    told = Catalog(movielens.catalog.items, popularity=[everything[item] for item in range(1682)])
    with pytest.raises(DataError, match="catalogue of movielens leaks"):
        check_no_leak(dataclasses.replace(movielens, catalog=told))
