"""Weights held dequantized answer as 4-bit ones do, take gradients, and cost the memory they are said to."""

from pathlib import Path

import pytest
import torch
from torch import nn

from quant.backbone import Backbone, load_backbone
from quant.cached import hold_dequantized
from quant.errors import BackboneError
from quant.nf4 import is_packed, linears_4bit


@pytest.fixture(scope="module")
def cached(gguf: Path) -> Backbone:
    return load_backbone(gguf, "nf4", device="cpu", compute="fp32", weights="cached")


@pytest.fixture(scope="module")
def four_bits(gguf: Path) -> Backbone:
    return load_backbone(gguf, "nf4", device="cpu", compute="fp32")


def answers(backbone: Backbone, length: int) -> torch.Tensor:
    ids = torch.randint(100, 40_000, (1, length), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        logits: torch.Tensor = backbone.model(ids).logits
    return logits


def test_answers_are_the_same_bits_as_those_of_the_4_bit_linears(
    cached: Backbone, four_bits: Backbone
) -> None:
    assert torch.equal(answers(cached, 30), answers(four_bits, 30))


def test_a_single_token_differs_by_no_more_than_the_order_of_a_sum(
    cached: Backbone, four_bits: Backbone
) -> None:
    # One row goes through a kernel of its own, which multiplies while it dequantizes.
    assert torch.allclose(answers(cached, 1), answers(four_bits, 1), atol=0.05)


def test_no_4_bit_linear_is_left_and_it_says_so(cached: Backbone) -> None:
    assert list(linears_4bit(cached.model)) == []
    assert (cached.weights, cached.quantization) == ("cached", "nf4")
    linears = [m for n, m in cached.model.named_modules() if isinstance(m, nn.Linear) and "lm_head" not in n]
    assert len(linears) == 30 * 7 and {m.weight.dtype for m in linears} == {torch.float32}
    assert sum(m.weight.numel() for m in linears) == 106_168_320  # times 4 bytes: what it costs
    assert not any(p.requires_grad for p in cached.model.parameters())


def test_gradients_arrive_below_every_linear(cached: Backbone) -> None:
    embeds = cached.model.get_input_embeddings()(torch.tensor([[1, 2, 3, 4]])).requires_grad_()
    cached.model.get_decoder()(inputs_embeds=embeds, use_cache=False).last_hidden_state.sum().backward()
    assert embeds.grad is not None and embeds.grad.abs().max() > 0


def test_packed_weights_are_refused_since_their_values_are_lost(gguf: Path) -> None:
    backbone = load_backbone(gguf, "nf4", device="cpu", compute="fp32")
    _, first = next(iter(linears_4bit(backbone.model)))
    first.weight.quant_state.packing_format_for_cpu = True
    assert is_packed(first)
    with pytest.raises(BackboneError, match="was packed"):
        hold_dequantized(backbone.model, torch.float32)
