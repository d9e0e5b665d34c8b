"""Candidate files of made-up data go into a folder of the test's own; recipes of small runs."""

import pytest

from core.data.candidate_files import candidate_file
from core.evaluation import questions
from tests.core.training.conftest import movielens, quick_recipe, settings, shallow_folder

__all__ = ["movielens", "quick_recipe", "settings", "shallow_folder"]  # fixtures of runs that take seconds


@pytest.fixture
def own_candidates(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path_factory.mktemp("candidates")
    monkeypatch.setattr(
        questions, "candidate_file", lambda *a, **k: candidate_file(*a, **{**k, "root": root})
    )
