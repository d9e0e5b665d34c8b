"""Rows 1 and 2: the seven linears of one real decoder layer under ours, stock LoRA and the published form.

The linears are plain ones in the dtype that this machine computes in: taking 4-bit weights apart would cost
everybody the same and hide the difference.
"""

import copy
from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from core.ilora import ILoraConfig, ILoraLinear
from quant.backbone import Backbone
from quant.nf4 import dequantized_weight

NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ALPHA = 32


class SevenLinears(nn.Module):
    """The linears of a decoder layer, each on an input of its width: x [B, S, H], wide [B, S, F]."""

    def __init__(self, linears: dict[str, nn.Module]) -> None:
        super().__init__()
        self.linears = nn.ModuleDict(linears)

    def forward(self, x: Tensor, wide: Tensor) -> tuple[Tensor, ...]:
        return tuple(linear(wide if name == "down_proj" else x) for name, linear in self.linears.items())


def seven_linears(backbone: Backbone, layer: int = 0) -> SevenLinears:
    """Of one layer of the backbone, frozen."""
    linears: dict[str, nn.Module] = {}
    for name, module in backbone.model.get_decoder().layers[layer].named_modules():
        if name.split(".")[-1] in NAMES:
            weight = dequantized_weight(module).to(backbone.compute_dtype)
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
            linear.weight = nn.Parameter(weight, requires_grad=False)
            linears[name.split(".")[-1]] = linear
    return SevenLinears(linears)


def ours(linears: SevenLinears, experts: int, rank: int = 8) -> PeftModel:
    """iLoRA with stirred weights on a copy of the linears."""
    config = ILoraConfig(r=rank, num_experts=experts, lora_alpha=ALPHA, target_modules=list(NAMES))
    model = get_peft_model(copy.deepcopy(linears), config)
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, ILoraLinear):
            b = layer.experts_B["default"]
            b.data.copy_(torch.randn(b.shape, generator=generator) * 0.02)
    return model


def stock_lora(linears: SevenLinears, rank: int = 8) -> PeftModel:
    """PEFT's LoRA, as its users make it."""
    config = LoraConfig(r=rank, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(NAMES))
    return get_peft_model(copy.deepcopy(linears), config)


class PublishedLinear(nn.Module):
    """The published form (arXiv 2408.10159, section 3.3): every expert's whole answer, then their sum.

    ``y = W x + s * sum_k w_k B_k (A_k x)`` with einsums over an explicit expert axis.
    """

    def __init__(self, layer: ILoraLinear) -> None:
        super().__init__()
        config = layer.configs["default"]
        k, each = config.num_experts, config.expert_rank
        self.base, self.scaling = layer.base_layer, config.scaling
        a, b = layer.experts_A["default"].detach(), layer.experts_B["default"].detach()
        self.a = nn.Parameter(a.view(k, each, -1).clone())  # (K, R/K, in)
        self.b = nn.Parameter(b.view(-1, k, each).transpose(0, 1).contiguous())  # (K, out, R/K)

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        inner = torch.einsum("bsi,kri->bskr", x, self.a.to(x.dtype))
        answers = torch.einsum("bskr,kor->bsko", inner, self.b.to(x.dtype))  # (B, S, K, out)
        mixed = torch.einsum("bsko,bk->bso", answers, gate.to(x.dtype))
        return self.base(x) + self.scaling * mixed


class PublishedLinears(nn.Module):
    """The seven linears of `ours`, each in the published form, over the same numbers."""

    def __init__(self, model: PeftModel) -> None:
        super().__init__()
        linears = model.base_model.model.linears
        self.linears = nn.ModuleDict({name: PublishedLinear(layer) for name, layer in linears.items()})

    def forward(self, x: Tensor, wide: Tensor, gate: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            linear(wide if name == "down_proj" else x, gate) for name, linear in self.linears.items()
        )


@dataclass(frozen=True)
class LayerBatch:
    """A catalogue-mode training batch as one layer sees it: inputs, upstream gradients, mixtures.

    The mixtures want a gradient: in training, the gate that they come from learns.
    """

    x: Tensor
    wide: Tensor
    upstream: tuple[Tensor, ...]
    gate: Tensor


def layer_batch(linears: SevenLinears, experts: int, people: int = 32, length: int = 25) -> LayerBatch:
    generator = torch.Generator().manual_seed(2)

    def draw(width: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(people, length, width, generator=generator).to(dtype)

    dtype = linears.linears["up_proj"].weight.dtype
    x, wide = (
        draw(linears.linears["up_proj"].in_features, dtype),
        draw(linears.linears["down_proj"].in_features, dtype),
    )
    upstream = tuple(draw(linear.out_features, dtype) for linear in linears.linears.values())
    gate = torch.randn(people, experts, generator=generator).softmax(-1).requires_grad_(True)
    return LayerBatch(x, wide, upstream, gate)


def step(model: nn.Module, batch: LayerBatch, **mixture: Tensor) -> None:
    """Forward and backward, gradients of inputs included, as in the middle of a network."""
    x, wide = batch.x.detach().requires_grad_(True), batch.wide.detach().requires_grad_(True)
    torch.autograd.backward(model(x, wide, **mixture), batch.upstream)
    for tensor in (*model.parameters(), batch.gate):
        tensor.grad = None
