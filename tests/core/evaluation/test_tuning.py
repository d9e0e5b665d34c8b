"""The settings that validation users like best are taken, and nothing of the test is asked."""

import dataclasses

import pytest

from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.evaluation.asking import full_ranks
from core.evaluation.baselines import ItemKNN
from core.evaluation.metrics import ndcg_at
from core.evaluation.tuning import tune_ease, tune_item_knn, tune_on_validation

MOVIELENS = load_dataset("movielens")
SPLIT = MOVIELENS.split("loo")


def test_the_best_of_the_grid_is_taken_and_every_trial_is_told() -> None:
    tuned = tune_item_knn(SPLIT, MOVIELENS.num_items, decays=(0.2, 0.7, 1.0), shrinks=(1.0, 300.0))
    assert [trial.settings for trial in tuned.trials] == [
        f"decay {decay}, shrink {shrink}" for shrink in (1, 300) for decay in (0.2, 0.7, 1)
    ]
    assert tuned.chosen.ndcg10 == max(trial.ndcg10 for trial in tuned.trials)
    assert tuned.chosen.settings == f"decay {tuned.baseline.decay:g}, shrink {tuned.baseline.shrink:g}"
    # The fitted baseline is the one whose number is told, though neighbours in the grid share a matrix.
    scores = tuned.baseline.score([case.history for case in SPLIT.validation])
    assert ndcg_at(full_ranks(scores, SPLIT.validation), 10) == tuned.chosen.ndcg10


def test_the_defaults_are_near_the_best_on_movielens() -> None:
    knn = tune_item_knn(SPLIT, MOVIELENS.num_items, decays=(0.5, 0.7, 0.9), shrinks=(1.0, 50.0))
    ease = tune_ease(SPLIT, MOVIELENS.num_items, decays=(0.9,), ridges=(200.0, 800.0))
    assert 0.09 < knn.chosen.ndcg10 < 0.12 and knn.baseline.decay in (0.5, 0.7)
    assert 0.10 < ease.chosen.ndcg10 < 0.13 and ease.baseline.ridge == 800.0


def test_test_cases_do_not_matter_when_choosing() -> None:
    without: Dataset = dataclasses.replace(MOVIELENS, splits={"loo": dataclasses.replace(SPLIT, test=())})
    grid = {"decays": (0.6, 0.8), "shrinks": (1.0,)}
    chosen = tune_item_knn(without.split("loo"), MOVIELENS.num_items, **grid)
    assert chosen.trials == tune_item_knn(SPLIT, MOVIELENS.num_items, **grid).trials


def test_of_equally_good_settings_the_first_is_taken() -> None:
    knn = ItemKNN().fit(SPLIT.train, MOVIELENS.num_items)
    tuned = tune_on_validation([("first", knn), ("second", knn)], SPLIT.validation[:50])
    assert tuned.chosen.settings == "first"


def test_an_empty_grid_has_no_best_point() -> None:
    with pytest.raises(ValueError, match="grid"):
        tune_on_validation([], SPLIT.validation)
