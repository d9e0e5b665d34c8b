"""One pass for several adapters says what a pass for each says."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from core.encoder import TorchRouter
from core.errors import DataError
from core.packing import apart, pack_branches, pack_catalogue
from core.prompt import Wording
from core.ranker import Ask, Ranker

TOLERANCE = 1e-4
CANDIDATES = np.array([[5, 900, 41, 7, 1300]])
ONE_EXPERT = np.array([[0.0, 0.0, 1.0, 0.0]], dtype=np.float32)
ASKS = [
    Ask("base", "title", CANDIDATES),
    Ask("ilora", "catalogue"),
    Ask("ilora", "branch", CANDIDATES),
    Ask("ilora", "catalogue", CANDIDATES, gate=ONE_EXPERT),
]


@pytest.mark.parametrize("length", [0, 1, 20])
def test_asking_together_equals_asking_one_by_one(
    ranker: Ranker, router: TorchRouter, histories: Sequence[tuple[int, ...]], length: int
) -> None:
    [history] = [h for h in histories if len(h) == length]
    routing = router.route([history])
    together = ranker.score_together(routing, history, ASKS)
    for ask, found in zip(ASKS, together, strict=True):
        alone = ranker.score(
            routing, [history], ask.candidates, adapter=ask.adapter, gate=ask.gate, mode=ask.mode
        )
        assert found.shape == alone.shape and (found - alone).abs().max() < TOLERANCE, ask
    gated, one_expert = together[1][:, CANDIDATES[0]], together[3]
    assert (gated - one_expert).abs().max() > 10 * TOLERANCE, "the mixture must matter here"


def test_the_order_of_the_questions_changes_nothing(
    ranker: Ranker, router: TorchRouter, histories: Sequence[tuple[int, ...]]
) -> None:
    routing = router.route([histories[-1]])
    forwards = ranker.score_together(routing, histories[-1], ASKS)
    backwards = ranker.score_together(routing, histories[-1], ASKS[::-1])[::-1]
    for found, expected in zip(forwards, backwards, strict=True):
        assert (found - expected).abs().max() < TOLERANCE


def test_nobody_in_a_shared_row_sees_another(wording: Wording) -> None:
    plain = pack_catalogue(wording.instruction, [[1, 2]])
    branched = pack_branches(wording.instruction, [[3]], wording.question, [[4, 5]], wording.titles)
    mask, size = apart([plain, branched])[0, 0], plain.words.shape[1]
    assert mask.shape == (size + branched.words.shape[1],) * 2
    assert torch.equal(mask[:size, :size], torch.ones(size, size).tril().bool())
    assert branched.mask is not None and torch.equal(mask[size:, size:], branched.mask[0, 0])
    assert not mask[:size, size:].any() and not mask[size:, :size].any()


def test_questions_that_make_no_sense_are_refused_as_when_asked_alone(
    ranker: Ranker, router: TorchRouter
) -> None:
    with pytest.raises(DataError, match='adapter "base" cannot rank in catalogue mode'):
        ranker.score_together(router.route([(1,)]), (1,), [Ask("base", "catalogue")])
    with pytest.raises(DataError, match="branch mode needs candidates"):
        ranker.score_together(router.route([(1,)]), (1,), [Ask("ilora", "branch")])
