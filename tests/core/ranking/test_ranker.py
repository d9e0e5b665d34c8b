"""What every ranking must satisfy, on the real backbone in float32."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from core.encoder import TorchRouter
from core.errors import DataError
from core.packing import pack_catalogue
from core.ranker import Mode, Ranker
from core.ranking_model import Mixture, RankingModel
from core.routing import Indices

TOLERANCE = 1e-4
CANDIDATES = 20


@pytest.fixture(scope="module")
def candidates(histories: Sequence[tuple[int, ...]], wording: object) -> Indices:
    generator = np.random.default_rng(1)
    return np.stack([generator.choice(1682, CANDIDATES, replace=False) for _ in histories]).astype(np.int64)


def scores(
    ranker: Ranker,
    router: TorchRouter,
    histories: Sequence[Sequence[int]],
    candidates: Indices | None = None,
    mode: Mode = "catalogue",
) -> np.ndarray:
    adapter = "base" if mode == "title" else "ilora"
    return ranker.score(router.route(histories), histories, candidates, adapter=adapter, mode=mode).numpy()


@pytest.mark.parametrize("mode", ["branch", "title"])
def test_branches_equal_one_candidate_at_a_time(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]], candidates: Indices, mode: Mode
) -> None:
    places = [0, 1, 9, CANDIDATES - 1]
    together = scores(ranker, router, histories, candidates, mode)[:, places]
    alone = np.concatenate(
        [scores(ranker, router, histories, candidates[:, [c]], mode) for c in places], axis=1
    )
    assert together.std(axis=1).min() > 0.01  # the scores do differ
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["catalogue", "branch", "title"])
def test_permuting_candidates_permutes_scores(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]], candidates: Indices, mode: Mode
) -> None:
    order = np.random.default_rng(2).permutation(CANDIDATES)
    plain = scores(ranker, router, histories, candidates, mode)
    permuted = scores(ranker, router, histories, np.ascontiguousarray(candidates[:, order]), mode)
    np.testing.assert_allclose(permuted, plain[:, order], atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["catalogue", "branch", "title"])
def test_padding_and_batch_mates_change_nothing(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]], candidates: Indices, mode: Mode
) -> None:
    chosen = None if mode == "catalogue" else candidates
    together = scores(ranker, router, histories, chosen, mode)  # rows of 0 to 20 items: much padding
    for row, history in enumerate(histories):
        own = None if chosen is None else chosen[[row]]
        np.testing.assert_allclose(
            scores(ranker, router, [history], own, mode)[0], together[row], atol=TOLERANCE
        )


def test_changing_a_later_item_changes_no_earlier_score(
    model: RankingModel, ranker: Ranker, histories: list[tuple[int, ...]]
) -> None:
    history, instruction = list(histories[-1]), ranker.wording.instruction
    changed = [*history[:12], 7, *history[13:]]
    mixture = Mixture(weights=torch.tensor([[0.4, 0.3, 0.2, 0.1]]))
    with torch.inference_mode():
        before, after = (
            model.catalogue_scores(pack_catalogue(instruction, [h]), "ilora", mixture, tail=len(h) + 1)[0]
            for h in (history, changed)
        )
    assert history[12] != 7
    torch.testing.assert_close(before[:13], after[:13], atol=TOLERANCE, rtol=0)  # after 0..12 items
    assert (before[13:] - after[13:]).abs().amax() > 100 * TOLERANCE


def test_each_position_scores_as_its_prefix_alone(
    model: RankingModel, ranker: Ranker, histories: list[tuple[int, ...]]
) -> None:
    history, instruction = list(histories[-1]), ranker.wording.instruction
    mixture = Mixture(weights=torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    with torch.inference_mode():
        whole = model.catalogue_scores(pack_catalogue(instruction, [history]), "ilora", mixture, tail=21)[0]
        for length in (0, 1, 7, 20):
            packed = pack_catalogue(instruction, [history[:length]])
            alone = model.catalogue_scores(packed, "ilora", mixture)[0, 0]
            torch.testing.assert_close(whole[length], alone, atol=TOLERANCE, rtol=0)


def test_an_item_unseen_in_training_is_scored_from_its_text(
    model: RankingModel, ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]]
) -> None:
    space, unseen = model.space("ilora"), 1681
    assert not space.known[unseen]
    before = scores(ranker, router, histories)[:, unseen]
    text = space.text.clone()
    try:
        space.text[unseen] = -text[unseen]
        after = scores(ranker, router, histories)[:, unseen]
    finally:
        space.text.copy_(text)
    assert np.isfinite(before).all()
    assert np.abs(before - after).min() > 1e-3
    assert torch.equal(space.collaborative[unseen], torch.zeros_like(space.collaborative[unseen]))


def test_another_mixture_gives_another_ranking(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]]
) -> None:
    routing = router.route(histories)
    one_hot = np.tile(np.array([[1, 0, 0, 0]], dtype=np.float32), (len(histories), 1))
    routed, forced = ranker.score(routing, histories), ranker.score(routing, histories, gate=one_hot)
    assert (routed - forced).abs().amax() > 1e-3


def test_what_does_not_fit_together_is_refused_in_words(
    ranker: Ranker, router: TorchRouter, histories: list[tuple[int, ...]], candidates: Indices
) -> None:
    routing = router.route(histories)
    with pytest.raises(DataError, match="cannot rank in catalogue mode"):
        ranker.score(routing, histories, adapter="base")
    with pytest.raises(DataError, match="needs candidates"):
        ranker.score(routing, histories, mode="branch")
    with pytest.raises(DataError, match="cannot rank in title mode"):
        ranker.score(routing, histories, candidates, mode="title")
