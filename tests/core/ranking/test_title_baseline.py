"""The zero-shot row is the ranker's own title mode, asked as baselines are."""

import numpy as np
import pytest

from core import ranking_model
from core.encoder import TorchRouter
from core.errors import DataError
from core.evaluation.title_baseline import TitleLikelihood
from core.ranker import Ranker

CANDIDATES = np.array([[5, 9, 400], [7, 1, 2], [3, 1000, 8]])


def test_it_is_title_mode_over_the_last_ten_items(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]]
) -> None:
    asked = [histories[0], histories[3], histories[-1]]  # the empty one, five items, twenty items
    scores = TitleLikelihood(ranker).score(asked, CANDIDATES)
    cut = [history[-10:] for history in asked]
    wanted = ranker.score(router.route(cut), cut, CANDIDATES, adapter="base", mode="title").numpy()
    assert scores.dtype == np.float32 and scores.shape == (3, 3)
    assert np.array_equal(scores, wanted)


def test_without_candidates_or_with_another_catalogue_it_says_so(ranker: Ranker) -> None:
    with pytest.raises(DataError, match="name candidates"):
        TitleLikelihood(ranker).score([(1, 2)])
    with pytest.raises(DataError, match="titles, the data set 5 items"):
        TitleLikelihood(ranker).fit([], 5)
    assert TitleLikelihood(ranker).fit([], len(ranker.wording.titles)).ranker is ranker


def test_reading_some_words_at_a_time_changes_nothing(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [histories[0], histories[3], histories[-1]]
    routing = router.route(asked)
    whole = ranker.score(routing, asked, CANDIDATES, adapter="base", mode="title")
    for limit in (1, 3 * 49152):  # one word at a time, three
        monkeypatch.setattr(ranking_model, "LOGITS", limit)
        parts = ranker.score(routing, asked, CANDIDATES, adapter="base", mode="title")
        assert (parts - whole).abs().max() < 1e-4 < whole.std(1).min() / 10
