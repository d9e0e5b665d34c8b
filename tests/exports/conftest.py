"""A whole bundle with random weights on the real backbone and catalogue: for what need not be trained."""

import pytest

from core.data.dataset import Dataset
from core.data.registry import load_dataset
from tests.core.training.conftest import quick_recipe, settings, shallow_folder
from tests.exports.random_bundle import Made, random_bundle

__all__ = ["quick_recipe", "settings", "shallow_folder"]  # fixtures of a training run that takes seconds


@pytest.fixture(scope="session")
def movielens() -> Dataset:
    return load_dataset("movielens")


@pytest.fixture(scope="session")
def histories(movielens: Dataset) -> list[tuple[int, ...]]:
    """1,000 real ones, among them the empty one, single items and some longer than any encoder reads."""
    cases = movielens.split("loo").test
    some = [case.history[-(1 + case.user % 80) :] for case in cases]
    long = [case.history for case in cases if len(case.history) > 60]
    return [(), *((item,) for item in range(20)), *long[: 1000 - 21 - len(some)], *some][:1000]


@pytest.fixture(scope="session")
def made(movielens: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return random_bundle(movielens, "movielens", tmp_path_factory.mktemp("bundle"))
