"""The real data set, loaded once."""

import pytest

from core.data.dataset import Dataset
from core.data.registry import load_dataset


@pytest.fixture(scope="session")
def movielens() -> Dataset:
    """MovieLens-100K, fetched on first use: a test fails, never skips, when it cannot be had."""
    return load_dataset("movielens")
