"""Weights and states are as large as bitsandbytes and torch make them; models as large as was published."""

import pytest
import torch
from torch import nn

from quant.nf4 import bnb
from quant.optimizer import paged_adamw_8bit
from quant.planner import (
    GIB,
    PUBLISHED,
    AdapterShape,
    Holding,
    Rows,
    Scores,
    adapter_sizes,
    architecture_of,
    nf4_bytes,
    plan,
    published_config,
    weights_bytes,
)
from quant.planner.weights import paged_adamw_8bit_bytes


@pytest.mark.parametrize("shape", [(576, 192), (64, 64), (33, 7), (1536, 8960)])
def test_a_4_bit_linear_is_as_large_as_bitsandbytes_makes_it(shape: tuple[int, int]) -> None:
    words, state = bnb.functional.quantize_4bit(
        torch.randn(shape), quant_type="nf4", compress_statistics=True, blocksize=64
    )
    inner = state.state2
    held = (words, state.absmax, state.code, state.offset, inner.absmax, inner.code)
    assert nf4_bytes(shape[0] * shape[1]) == sum(t.numel() * t.element_size() for t in held)


def test_8_bit_states_are_as_large_as_bitsandbytes_makes_them() -> None:
    parameters = [nn.Parameter(torch.randn(n)) for n in (100, 4096, 10_001)]
    optimizer = paged_adamw_8bit([{"params": parameters, "lr": 1e-3}], (0.9, 0.999))
    for index, parameter in enumerate(parameters):
        optimizer.init_state(optimizer.param_groups[0], parameter, 0, index)
    tables = {"qmap1", "qmap2"}  # shared by all: 2 KiB
    held = sum(
        value.numel() * value.element_size()
        for moments in optimizer.state.values()
        for name, value in moments.items()
        if isinstance(value, torch.Tensor) and name not in tables
    )
    assert paged_adamw_8bit_bytes([p.numel() for p in parameters]) == held


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smollm2-135m", 134_515_008),
        ("Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
    ],
)
def test_published_configs_make_models_of_the_published_size(name: str, parameters: int) -> None:
    assert architecture_of(published_config(name)).parameters == parameters


def test_every_published_config_can_be_described() -> None:
    for name in PUBLISHED:
        model = architecture_of(published_config(name))
        assert model.tied == (model.others < 2 * model.embedding)


def test_torchtunes_8b_qlora_comes_out_near_the_published_peak() -> None:
    """7.4 GiB for Llama-3.1-8B at batch 2 x 2,048 (FACTS, section 9); docs/memory.md has the lines.

    As there: all linears, rank 8, checkpointing, embeddings and head in bf16, trained numbers and AdamW's
    states in bf16 too (ours are float32). Their loss works in pieces, so layers and not logits are fullest.
    """
    model = architecture_of(published_config("meta-llama/Llama-3.1-8B-Instruct"))
    lora = AdapterShape(8, gated=False)
    ours = plan(model, Holding("nf4", 2, checkpointing=True), lora, Rows(2, 2048), Scores(0, 0, 0), "cuda")
    halved = (ours.adapter + ours.gradients + ours.optimizer) // 2
    assert weights_bytes(model, "nf4", 2) / GIB == pytest.approx(5.31, abs=0.01)
    assert sum(adapter_sizes(model, lora)) == 20_971_520
    assert (ours.tensors - halved) / GIB == pytest.approx(7.4, rel=0.05)
