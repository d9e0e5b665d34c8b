"""Candidate files of made-up data go into a folder of the test's own."""

import pytest

from core.data.candidate_files import candidate_file
from core.evaluation import questions


@pytest.fixture
def own_candidates(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path_factory.mktemp("candidates")
    monkeypatch.setattr(
        questions, "candidate_file", lambda *a, **k: candidate_file(*a, **{**k, "root": root})
    )
