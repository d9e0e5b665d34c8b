"""Experts on the user vector's projection: each person's own mixture, at every position he is asked at."""

import numpy as np
import pytest
import torch

from core.assembly import new_model
from core.encoder import SASRec, TorchRouter, pad_histories
from core.item_space import ItemFeatures, OutputExperts
from core.packing import pack_catalogue
from core.prompt import Wording
from core.ranking_model import Mixture, RankingModel
from core.training.cross_fitting import tail_states
from core.training.recipe import Recipe, load_recipe
from tests.core.ranking.conftest import open_shallow

ROUNDING = 1e-5


@pytest.fixture
def experts() -> OutputExperts:
    torch.manual_seed(1)
    experts = OutputExperts(hidden=12, width=6, rank=8, num_experts=4, alpha=32)
    torch.nn.init.normal_(experts.B)
    return experts


def recipe(method: str = "ilora") -> Recipe:
    return load_recipe(
        "demo-cpu", ["adapter.r=8", "adapter.alpha=32", "adapter.num_experts=4"], method=method
    )


@pytest.fixture
def adapting(features: ItemFeatures) -> RankingModel:
    model = new_model(open_shallow(), features, recipe())
    own = model.space("ilora").experts
    assert own is not None
    torch.nn.init.normal_(own.B)
    return model.eval()


def test_a_mixture_is_the_sum_of_its_experts(experts: OutputExperts) -> None:
    state, mixture = torch.randn(3, 5, 12), torch.rand(3, 1, 4).softmax(-1)
    expected = torch.zeros(3, 5, 6)
    for k in range(4):
        block = slice(2 * k, 2 * k + 2)
        one = (state @ experts.A[block].T) @ experts.B[:, block].T
        expected += mixture[..., k : k + 1] * experts.scaling * one
    assert torch.allclose(experts(state, mixture), expected, atol=ROUNDING)
    assert experts.scaling == 32 / 2


def test_lora_has_none_and_all_else_begins_alike(features: ItemFeatures, adapting: RankingModel) -> None:
    lora = new_model(open_shallow(), features, recipe("lora"))
    plain = new_model(open_shallow(), features, Recipe(method="ilora"))
    assert lora.space("lora").experts is None and plain.space("ilora").experts is None
    theirs = dict(adapting.space("ilora").named_parameters())
    for name, parameter in plain.space("ilora").named_parameters():
        assert torch.equal(parameter, theirs[name]), name


def test_shapes_are_read_back_from_what_is_stored(adapting: RankingModel) -> None:
    space = adapting.space("ilora")
    again = OutputExperts.fitting(space.state_dict(), num_experts=4, alpha=32)
    assert again is not None and space.experts is not None
    again.load_state_dict(space.experts.state_dict())
    state, mixture = torch.randn(2, space.user.in_features), torch.rand(2, 4).softmax(-1)
    assert torch.equal(again(state, mixture), space.experts(state, mixture))
    assert OutputExperts.fitting({}, 4, 32) is None


def test_scores_follow_the_mixture(
    adapting: RankingModel, wording: Wording, histories: list[tuple[int, ...]]
) -> None:
    packed = pack_catalogue(wording.instruction, [list(h) for h in histories])
    alike = torch.full((len(histories), 4), 0.25)
    leaning = torch.tensor([[0.7, 0.1, 0.1, 0.1]]).expand(len(histories), -1)
    with torch.inference_mode():
        # The backbone's own experts begin at zero: what differs are the output's.
        one = adapting.catalogue_scores(packed, "ilora", Mixture(weights=alike))
        other = adapting.catalogue_scores(packed, "ilora", Mixture(weights=leaning))
    assert (one - other).abs().max() > 0.1


def test_training_asks_with_the_mixture_that_serving_would_use(
    adapting: RankingModel, encoder: SASRec, wording: Wording, histories: list[tuple[int, ...]]
) -> None:
    """Position t of a training row is scored as the history up to t is when it is asked for."""
    history = list(histories[-1])
    tail = len(history) + 1
    packed = pack_catalogue(wording.instruction, [history])
    gate = adapting.gate_of("ilora")
    assert gate is not None
    states = tail_states(encoder, pad_histories([history], encoder.shape.num_items, len(history)), tail)
    routed = TorchRouter(encoder, gate).route([history[:t] for t in range(tail)])
    assert np.abs(states[0].detach().numpy() - routed.sequence).max() < 1e-4
    with torch.inference_mode():
        # The backbone's mixture is one for the row, and does nothing yet.
        mixture = Mixture(sequence=states[:, -1].detach(), each=states.detach())
        together = adapting.catalogue_scores(packed, "ilora", mixture, tail)[0]
        for t in (0, 3, tail - 1):
            alone = adapting.catalogue_scores(
                pack_catalogue(wording.instruction, [history[:t]]),
                "ilora",
                Mixture(weights=torch.from_numpy(routed.gate[t : t + 1])),
            )[0, 0]
            assert torch.allclose(together[t], alone, atol=1e-3), t
