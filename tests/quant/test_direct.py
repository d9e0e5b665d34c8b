"""4-bit linears that answer by the shorter way give bitsandbytes' own bits, and leave gradients to it."""

import subprocess
import sys

import bitsandbytes as bnb
import pytest
import torch
from torch import Tensor, nn

from quant.backbone import Backbone
from quant.direct import DirectLinear4bit, answer_directly
from quant.nf4 import dequantized_weight, keep_canonical, linears_4bit
from tests.conftest import REPOSITORY

WIDE, NARROW = 192, 64


def linear(dtype: torch.dtype, bias: bool = False, nested: bool = True, seed: int = 0) -> nn.Module:
    """One frozen 4-bit linear [64, 192], quantized, whose scales are quantized themselves if `nested`."""
    generator = torch.Generator().manual_seed(seed)
    made = bnb.nn.Linear4bit(
        WIDE, NARROW, bias=bias, compute_dtype=dtype, quant_type="nf4", compress_statistics=nested
    )
    made.weight.data.copy_(torch.randn(NARROW, WIDE, generator=generator))
    if bias:
        made.bias.data.copy_(torch.randn(NARROW, generator=generator))
    made.requires_grad_(False).to("cpu")
    keep_canonical(nn.ModuleList([made]))
    return made


def direct(*args: object, **kwargs: object) -> nn.Module:
    made = linear(*args, **kwargs)  # type: ignore[arg-type]
    assert answer_directly(nn.ModuleList([made])) == 1 and isinstance(made, DirectLinear4bit)
    return made


def rows(count: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(2, count, WIDE, generator=torch.Generator().manual_seed(5)).to(dtype)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 40])
def test_the_bits_are_bitsandbytes_own(
    count: int, given: torch.dtype, compute: torch.dtype, bias: bool, nested: bool
) -> None:
    x = rows(count, given)
    with torch.inference_mode():
        ours, theirs = direct(compute, bias, nested)(x), linear(compute, bias, nested)(x)
    assert ours.dtype == theirs.dtype == given
    assert torch.equal(ours, theirs)


def test_gradients_are_those_of_bitsandbytes() -> None:
    found = []
    for make in (direct, linear):
        x = rows(3, torch.float32).requires_grad_()
        make(torch.float32)(x).square().sum().backward()
        found.append(x.grad)
    assert found[0] is not None and found[0].abs().max() > 0.1
    assert torch.equal(found[0], found[1])


def test_a_weight_that_is_replaced_answers_with_its_own_scales() -> None:
    first, second = direct(torch.float32, seed=1), linear(torch.float32, seed=2)
    x = rows(4, torch.float32)
    with torch.inference_mode():
        before = first(x)
        first.weight = second.weight
        assert not torch.equal(first(x), before)
        assert torch.equal(first(x), second(x))


def test_state_and_values_stay_bitsandbytes_own() -> None:
    ours, theirs = direct(torch.float32), linear(torch.float32)
    with torch.inference_mode():
        ours(rows(2, torch.float32))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    assert torch.equal(dequantized_weight(ours), dequantized_weight(theirs))


def test_a_loaded_backbone_answers_so(nf4: Backbone) -> None:
    assert {type(module) for _, module in linears_4bit(nf4.model)} == {DirectLinear4bit}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Modules that are there when a bundle can be loaded."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys, exports.bundle; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return set(told.stdout.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA bitsandbytes compiles what it wants to")
def test_a_start_imports_neither_compiler_nor_statistics(loaded: set[str]) -> None:
    assert {"bitsandbytes", "peft", "torch"} <= loaded
    assert "torch._inductor.compile_fx" not in loaded
    assert "scipy.stats" not in loaded


def test_torch_compiles_again_when_bitsandbytes_is_there() -> None:
    assert torch.compile.__module__ == "torch"
