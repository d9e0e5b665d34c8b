"""One adapted linear that computes in bf16: how it rounds, for few positions and for many."""

import pytest
import torch
from torch import Tensor, nn

from core.ilora.config import ILoraConfig
from core.ilora.gating import GateContext, rank_rows
from core.ilora.layer import FEW, ILoraLinear
from core.ilora.mixed import mixed_batch

WIDTH, OUT, GATE = 96, 160, torch.tensor([[0.125, 0.25, 0.5, 0.125]])  # bf16 holds them exactly


@pytest.fixture
def layer() -> ILoraLinear:
    layer = ILoraLinear(nn.Linear(WIDTH, OUT, bias=False).bfloat16(), GateContext(), 0)
    config = ILoraConfig(r=8, num_experts=4, lora_alpha=16)
    layer.update_layer("ilora", config)
    layer.set_adapter("ilora")
    nn.init.normal_(layer.experts_B["ilora"], std=0.2)
    _load(layer, layer.context)
    return layer.eval()


def _load(layer: ILoraLinear, context: GateContext) -> None:
    config = layer.configs["ilora"]
    context.load(
        lambda: GATE, lambda mixture: rank_rows(mixture, config.expert_rank, config.scaling, torch.bfloat16)
    )


def _exact(layer: ILoraLinear, x: Tensor) -> Tensor:
    """What the layer stands for, in float64, from the base layer's own rounded answer."""
    mixed = layer.delta_weight("ilora", GATE[0]).double()
    return layer.base_layer(x).double() + x.double() @ mixed.t()


@pytest.mark.parametrize("positions", [1, FEW, FEW + 1, 4 * FEW])
def test_few_positions_are_rounded_once_and_many_as_bf16_is(layer: ILoraLinear, positions: int) -> None:
    x = torch.randn(1, positions, WIDTH).bfloat16()
    with torch.inference_mode():
        found, exact = layer(x), _exact(layer, x)
    assert found.dtype == torch.bfloat16
    error = ((found.double() - exact).norm() / exact.norm()).item()
    few = positions <= FEW
    assert error < (2e-3 if few else 1e-2)
    if few:  # one rounding moves a number by no more than 2^-8 of itself
        torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=2**-8 * 1.001)


def test_people_who_share_a_row_are_answered_as_alone(layer: ILoraLinear) -> None:
    x = torch.randn(1, 30, WIDTH).bfloat16()
    with torch.inference_mode():
        alone = [layer(x[:, :10]), layer(x[:, 10:])]
        mixed = mixed_batch(["ilora", "ilora"], [10, 20], (1, 30), {"ilora"})
        for span in mixed.spans:
            _load(layer, span.context)
        layer.context.mixed = mixed
        together = layer(x)
    torch.testing.assert_close(together, torch.cat(alone, 1), atol=0.02, rtol=0.01)


def test_a_pass_that_trains_keeps_bf16_for_the_way_back(layer: ILoraLinear) -> None:
    x = torch.randn(1, 4, WIDTH).bfloat16()
    kept: list[torch.dtype] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.dtype)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    assert kept and set(kept) == {torch.bfloat16}
