"""Experts over 4-bit linears: the same algebra, and gradients that arrive."""

import bitsandbytes as bnb
import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch.testing import assert_close

from core.assets import BACKBONE, fetch
from core.ilora import AdapterError, ILoraConfig
from quant.backbone import load_backbone
from quant.nf4 import dequantized_weight, keep_canonical


@pytest.fixture(scope="module")
def nf4():
    """SmolLM2-135M in NF4 as it is trained: 4-bit weights, bfloat16 compute, cut to four layers."""
    gguf = next(fetch(BACKBONE).glob("*.gguf"))
    model = load_backbone(gguf, "nf4", device="cpu", compute="bf16").model
    model.model.layers = model.model.layers[:4]
    return model.model


def test_works_on_4bit_linears(stir):
    torch.manual_seed(5)
    linear = bnb.nn.Linear4bit(64, 128, bias=False, compute_dtype=torch.float32, quant_type="nf4").to("cpu")
    linear.weight = bnb.nn.Params4bit(torch.randn(128, 64), requires_grad=False, quant_type="nf4").to("cpu")
    model = nn.Sequential(linear)
    keep_canonical(model)
    config = ILoraConfig(r=8, num_experts=4, lora_alpha=16, gate_width=3, target_modules=["0"])
    ours = get_peft_model(model, config)
    stir(ours)
    layer = ours.base_model.adapted[0]
    weight = dequantized_weight(linear).float()
    x, sequence = torch.randn(2, 5, 64), torch.randn(2, 3)

    with torch.no_grad():
        ours.eval()(x, sequence=sequence)  # the pass after which unguarded weights cannot be trained any more
    ours.train()
    leaf = x.clone().requires_grad_()
    answer = ours(leaf, sequence=sequence)
    mixture = ours.last_gate
    expected = torch.stack(
        [row @ (weight + layer.delta_weight("default", w)).T for row, w in zip(x, mixture, strict=True)]
    )
    assert_close(answer, expected.detach(), atol=1e-4, rtol=1e-4)

    answer.sum().backward()
    deltas = [layer.delta_weight("default", w).detach() for w in mixture]
    by_hand = torch.stack([(torch.ones(5, 128) @ (weight + d)) for d in deltas])
    assert_close(leaf.grad, by_hand, atol=1e-3, rtol=1e-4)
    gate = ours.base_model.experts_gate["default"].network
    for parameter in (layer.experts_A["default"], layer.experts_B["default"], gate.weight, gate.bias):
        assert parameter.grad is not None and parameter.grad.abs().max() > 0


def test_a_4bit_backbone_trains_after_it_has_answered(nf4, stir, embeds, mixtures):
    ours = get_peft_model(nf4, ILoraConfig(r=8, num_experts=4, gate_width=5), adapter_name="ilora")
    stir(ours, "ilora")
    inputs = embeds.bfloat16()
    with torch.no_grad():
        first = ours.eval()(inputs_embeds=inputs, gate_weights=mixtures, use_cache=False).last_hidden_state
    assert first.dtype == torch.bfloat16
    ours.train()
    ours(
        inputs_embeds=inputs, sequence=torch.randn(3, 5)
    ).last_hidden_state.float().square().mean().backward()
    for name, parameter in ours.named_parameters():
        if "experts_" in name:
            assert parameter.dtype == torch.float32
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    with torch.no_grad():
        again = ours.eval()(inputs_embeds=inputs, gate_weights=mixtures, use_cache=False).last_hidden_state
    assert torch.equal(again, first)

    ours.pin_gate(mixtures[0])
    for merge in (ours.merge_adapter, ours.merge_and_unload):
        with pytest.raises(AdapterError, match="quantized"):
            merge()
