"""Floating-point operations of a pass, counted from shapes, and the rate of bare products of those shapes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.packing import NONE, Packed
from quant.backbone import Backbone
from quant.nf4 import dequantized_weight, linears_4bit


def linear_flops(backbone: Backbone, tokens: int) -> float:
    """Two per weight and token, over every linear of the decoder."""
    shapes = [(module.in_features, module.out_features) for _, module in _linears(backbone)]
    return 2.0 * tokens * sum(width * out for width, out in shapes)


def attention_flops(backbone: Backbone, seen: int) -> float:
    """Scores and sums of values: four per layer, head, head width and pair that may see each other."""
    config = backbone.model.config
    head = config.hidden_size // config.num_attention_heads
    return 4.0 * config.num_hidden_layers * config.num_attention_heads * head * seen


def head_flops(backbone: Backbone, tokens: int) -> float:
    """Two per weight and token, of the vocabulary's head."""
    return 2.0 * tokens * backbone.hidden_size * backbone.model.config.vocab_size


def useful(packed: Packed) -> tuple[int, int]:
    """Tokens that are not padding, and pairs of them that see each other."""
    real = (packed.words != NONE) | (packed.items != NONE)  # (B, S)
    size = real.shape[1]
    mask = torch.ones(size, size, dtype=torch.bool).tril() if packed.mask is None else packed.mask[:, 0]
    pairs = mask & real.unsqueeze(1) & real.unsqueeze(2)
    return int(real.sum()), int(pairs.sum())


def _linears(backbone: Backbone) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in linears_4bit(backbone.model) if "lm_head" not in name]


@dataclass(frozen=True)
class BareProducts:
    """The linears of some layers as plain products: inputs [tokens, in], weights [out, in]."""

    pairs: tuple[tuple[Tensor, Tensor], ...]
    times: int

    def run(self) -> None:
        with torch.inference_mode():
            for _ in range(self.times):
                for x, weight in self.pairs:
                    nn.functional.linear(x, weight)

    @property
    def flops(self) -> float:
        return self.times * sum(2.0 * x.shape[0] * weight.numel() for x, weight in self.pairs)


def bare_products(backbone: Backbone, tokens: int, layers: int = 3) -> BareProducts:
    """As many products as the decoder has, over the weights of a few layers, which no cache holds at once."""
    depth = backbone.model.config.num_hidden_layers
    first = [
        module for name, module in _linears(backbone) if int(name.split("layers.")[1].split(".")[0]) < layers
    ]
    weights = [dequantized_weight(module).to(backbone.compute_dtype) for module in first]
    widths = {weight.shape[1] for weight in weights}
    inputs = {width: torch.randn(tokens, width).to(backbone.compute_dtype) for width in widths}
    return BareProducts(tuple((inputs[w.shape[1]], w) for w in weights), depth // layers)
