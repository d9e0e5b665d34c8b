"""Every case is in exactly one bucket of each kind, and in the one that its numbers say."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.candidates import training_counts
from core.data.dataset import Case
from core.data.registry import load_dataset
from core.evaluation.buckets import (
    UserClusters,
    history_lengths,
    target_popularity,
    user_density,
)


def _cases(lengths: list[int]) -> list[Case]:
    return [Case(user, tuple(range(n)), 0) for user, n in enumerate(lengths)]


def test_history_lengths_are_of_what_is_read() -> None:
    labels = history_lengths(_cases([0, 1, 2, 3, 5, 6, 10, 11, 700]))
    assert labels == ("0", "1", "2", "3-5", "3-5", "6-10", "6-10", "6-10", "6-10")


def test_deciles_of_different_counts_hold_a_tenth_of_the_items_each() -> None:
    counts = np.random.default_rng(0).permutation(np.arange(100)) + 1
    labels = target_popularity([Case(0, (), item) for item in range(100)], counts)
    assert Counter(labels) == {f"D{d:02}": 10 for d in range(1, 11)}
    assert labels[int(counts.argmax())] == "D10" and labels[int(counts.argmin())] == "D01"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_equal_counts_share_a_decile_and_more_is_never_lower(values: list[int]) -> None:
    counts = np.array(values)
    labels = target_popularity([Case(0, (), item) for item in range(len(counts))], counts)
    by_count = sorted(zip(values, labels, strict=True))
    assert len(set(by_count)) == len(set(values))  # one label for each count
    trained = [label for count, label in by_count if count > 0]
    assert trained == sorted(trained)
    assert {label for count, label in by_count if count == 0} <= {"unseen"}


def test_an_item_nobody_trained_on_is_unseen() -> None:
    counts = np.array([3, 0])
    assert target_popularity([Case(0, (), 1), Case(1, (), 0)], counts) == ("unseen", "D10")


def test_sparse_users_have_up_to_twenty_items_and_the_rest_is_halved() -> None:
    labels = user_density(_cases([4, 20, 21, 30, 40, 500]))
    assert labels == ("sparse", "sparse", "medium", "medium", "dense", "dense")
    assert user_density(_cases([4, 20])) == ("sparse", "sparse")
    assert user_density(_cases([])) == ()


def test_each_real_case_is_in_one_bucket_of_each_kind() -> None:
    dataset = load_dataset("movielens")
    split = dataset.split("loo")
    counts = training_counts(split, dataset.num_items)
    deciles = target_popularity(split.test, counts)
    for labels in (history_lengths(split.test), deciles, user_density(split.test)):
        assert len(labels) == len(split.test) == 943
    assert Counter(deciles)["unseen"] == sum(counts[case.target] == 0 for case in split.test) > 0


def test_clusters_find_planted_groups_and_repeat_by_seed() -> None:
    generator = np.random.default_rng(2)
    sizes = [80, 70, 60, 50, 40, 30, 20, 10]
    centres = 20 * np.eye(8)
    group = np.repeat(np.arange(8), sizes)
    states = (centres[group] + generator.normal(size=(360, 8))).astype(np.float32)
    shuffled = generator.permutation(360)
    clusters = UserClusters.fit(states[shuffled], seed=5)
    # Numbered by size, so the planted order comes back.
    assert clusters.labels(states) == tuple(f"cluster {g + 1}" for g in group)
    assert np.array_equal(UserClusters.fit(states[shuffled], seed=5).centres, clusters.centres)
    # Other people are placed among the same clusters.
    assert clusters.labels(centres[:3].astype(np.float32)) == ("cluster 1", "cluster 2", "cluster 3")


def test_too_few_people_form_no_clusters() -> None:
    with pytest.raises(ValueError, match="7 people cannot form 8"):
        UserClusters.fit(np.zeros((7, 2), dtype=np.float32), seed=0)
