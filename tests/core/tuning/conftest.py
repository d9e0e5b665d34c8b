"""The shallow backbone and quick settings of training tests."""

from tests.core.training.conftest import movielens, quick_recipe, settings, shallow_folder

__all__ = ["movielens", "quick_recipe", "settings", "shallow_folder"]
