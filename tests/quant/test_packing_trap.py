"""The CPU packing trap (see `quant.nf4`), on every CPU.

CPUs with AVX512-BF16 show it by themselves; on others bitsandbytes is told that the CPU has it, so that the
very same branch of its layer is taken.
"""

from collections.abc import Callable
from pathlib import Path

import bitsandbytes.nn.modules as bnb_modules
import pytest
import torch
from torch import Tensor, nn

from quant.backbone import Backbone, load_backbone
from quant.errors import BackboneError
from quant.nf4 import dequantized_weight, is_packed, keep_canonical, linears_4bit

RANK = 4


@pytest.fixture
def load(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Backbone]:
    """Loads as a machine with AVX512-BF16 does."""
    monkeypatch.setattr(bnb_modules, "has_avx512bf16", lambda: True)
    return lambda: load_backbone(gguf, "nf4", device="cpu", compute="bf16")


def answer(model: nn.Module) -> Tensor:
    """An eval forward as evaluation during training does it: logits [1, 8, V]."""
    with torch.no_grad():
        logits: Tensor = model.eval()(torch.arange(100, 108)[None]).logits
    return logits


def low_rank_gradients(model: nn.Module) -> list[Tensor | None]:
    """Gradients of a low-rank addition to the first query projection (4-bit layers follow) after one step."""
    linear = model.model.layers[0].self_attn.q_proj
    generator = torch.Generator().manual_seed(0)
    shapes = ((RANK, linear.in_features), (linear.out_features, RANK))
    down, up = (nn.Parameter(0.02 * torch.randn(shape, generator=generator)) for shape in shapes)

    def add(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + (inputs[0].float() @ down.T @ up.T).to(output.dtype)

    hook = linear.register_forward_hook(add)
    try:
        ids = torch.arange(100, 108)[None]
        model.train()(ids, labels=ids).loss.backward()
    finally:
        hook.remove()
    return [down.grad, up.grad]


def test_no_4_bit_layer_that_is_loaded_here_may_pack(load: Callable[[], Backbone]) -> None:
    assert bnb_modules.Linear4bit(64, 64).support_avx512bf16_for_cpu  # as bitsandbytes makes them here
    cured = [linear.support_avx512bf16_for_cpu for _, linear in linears_4bit(load().model)]
    assert len(cured) == 210
    assert not any(cured)


def test_training_after_an_eval_forward_has_the_same_gradients_as_without_it(
    load: Callable[[], Backbone],
) -> None:
    untouched, evaluated = load().model, load().model
    answer(evaluated)
    for expected, found in zip(low_rank_gradients(untouched), low_rank_gradients(evaluated), strict=True):
        assert expected is not None
        assert found is not None, "cut by a 4-bit layer whose weight the eval forward had packed"
        assert expected.abs().sum() > 0
        assert torch.equal(expected, found)


def test_weights_read_the_same_before_and_after_an_eval_forward(load: Callable[[], Backbone]) -> None:
    model = load().model
    before = [dequantized_weight(linear).clone() for _, linear in linears_4bit(model)]
    answer(model)
    for (name, linear), weight in zip(linears_4bit(model), before, strict=True):
        assert not is_packed(linear), name
        assert torch.equal(dequantized_weight(linear), weight), name


def test_answers_are_the_same_bits_after_the_state_dict_was_read(load: Callable[[], Backbone]) -> None:
    """PEFT reads it whenever an adapter is loaded; weights that were packed come back changed."""
    model = load().model
    before = answer(model)
    model.state_dict()
    assert torch.equal(answer(model), before)


def pack_one_layer(model: nn.Module) -> nn.Module:
    """One eval forward of one 4-bit layer without the cure: the packing is bitsandbytes' own on any CPU."""
    linear = model.model.layers[0].mlp.down_proj
    linear.support_avx512bf16_for_cpu = True
    linear.eval()
    with torch.no_grad():
        linear(torch.zeros(1, linear.in_features, dtype=torch.bfloat16))
    return linear


def test_the_trap_is_still_there_without_the_cure(load: Callable[[], Backbone], nf4: Backbone) -> None:
    """When this fails bitsandbytes has mended that half of it: see what the state dict does."""
    linear = pack_one_layer(load().model)
    weight = dequantized_weight(nf4.model.model.layers[0].mlp.down_proj).float()
    state = linear.weight.quant_state
    garbage = bnb_modules.bnb.functional.dequantize_4bit(linear.weight.data, state).float()
    assert (garbage.view_as(weight) - weight).norm() / weight.norm() > 1


def test_a_packed_weight_is_refused_instead_of_read_wrong(load: Callable[[], Backbone]) -> None:
    model = load().model
    linear = pack_one_layer(model)
    assert is_packed(linear)
    with pytest.raises(BackboneError, match=r"packed.*load_backbone"):
        dequantized_weight(linear)
    with pytest.raises(BackboneError, match=r"layers\.0\.mlp\.down_proj"):
        keep_canonical(model)
