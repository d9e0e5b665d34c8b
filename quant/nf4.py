"""NF4 through bitsandbytes, and the CPU packing trap.

On CPUs with AVX512-BF16 the first forward of a `Linear4bit` that is in eval mode and whose input needs no
gradient rearranges the weight in place for a faster kernel. From then on `dequantize` reads the new order as
the old one (relative error 1.41) and the kernel has no backward: every gradient below the layer is None.
Reading such a layer's state dict, as PEFT does whenever it loads an adapter, puts the weight back with scales
that are quantized anew: answers change, and a thread that is answering meanwhile reads a weight in neither
order. The packed kernel saves a quarter of the time of a list alone and costs a fifth of that of many (one
core with AVX512-BF16), so here nothing packs: one attribute per layer, set before the first forward, by
:func:`keep_canonical`.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig

from quant.errors import BackboneError

_NOISY = "bitsandbytes.backends.cpu.ops"


@contextmanager
def _first_import() -> Iterator[None]:
    # Importing bitsandbytes logs an error-looking line when the optional `kernels` package is absent;
    # the built-in kernels are used then, which is what we want.
    logger = logging.getLogger(_NOISY)
    level, compiler = logger.level, torch.compile
    logger.setLevel(logging.ERROR)
    if not torch.cuda.is_available():
        # It hands four fallbacks to torch.compile, which imports the compiler: two thirds of a second. A CPU
        # has kernels of its own for two of them, and the others are optimizers that need CUDA here.
        torch.compile = _as_it_is  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = compiler
        logger.setLevel(level)


def _as_it_is(function: Any = None, **_: Any) -> Any:
    """`torch.compile` that compiles nothing."""
    return _as_it_is if function is None else function


if "bitsandbytes" not in sys.modules:
    with _first_import():
        import bitsandbytes as bnb
else:
    import bitsandbytes as bnb

Linear4bit = bnb.nn.Linear4bit
PagedAdamW8bit = bnb.optim.PagedAdamW8bit


def nf4_config(
    compute_dtype: torch.dtype = torch.bfloat16, storage: torch.dtype = torch.uint8
) -> BitsAndBytesConfig:
    """NF4 with double quantization (QLoRA, arXiv 2305.14314, section 3).

    Args:
        compute_dtype: dtype weights are dequantized to for a product.
        storage: dtype the packed 4-bit words are stored as; FSDP shards only weights of one float dtype,
            so it needs the compute dtype here. Changes no value.
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        bnb_4bit_quant_storage=storage,
    )


def is_nf4(config: Any) -> bool:
    """Whether a config's `quantization_config` (dict or object) is what :func:`nf4_config` makes."""
    told = config if isinstance(config, dict) else config.to_dict()
    return told.get("bnb_4bit_quant_type") == "nf4" and bool(told.get("bnb_4bit_use_double_quant"))


def linears_4bit(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name and module of every 4-bit linear."""
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            yield name, module


def keep_canonical(model: nn.Module) -> int:
    """Forbid the in-place packing on every 4-bit linear; returns how many there are.

    Raises:
        BackboneError: a layer was already packed, so its values and gradients are lost.
    """
    count = 0
    for name, linear in linears_4bit(model):
        _refuse_packed(linear, name)
        linear.support_avx512bf16_for_cpu = False
        count += 1
    return count


def compute_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Let a loaded NF4 model compute in `dtype`: float weights are converted, 4-bit words stay as they are.

    Every 4-bit weight stays the same word with the same scale, so models that compute in different dtypes
    hold the same numbers; fp32 products do not round them to bf16. Packing is forbidden: the packed kernel
    computes in bf16.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.compute_dtype, module.compute_type_is_set = dtype, True
            module.support_avx512bf16_for_cpu = False
    words = {id(linear.weight) for _, linear in linears_4bit(model)}
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and id(tensor) not in words:
            tensor.data = tensor.data.to(dtype)


def is_packed(linear: nn.Module) -> bool:
    """Whether the weight lies in the CPU inference order, which cannot be dequantized or trained."""
    state = getattr(linear.weight, "quant_state", None)
    return bool(getattr(state, "packing_format_for_cpu", False))


def dequantized_weight(linear: nn.Module, dtype: torch.dtype | None = None) -> Tensor:
    """The weight [out, in] a 4-bit linear stands for.

    Args:
        dtype: what word times scale is rounded to, as products in that dtype do; None is the dtype that the
            weight was quantized from.

    Raises:
        BackboneError: the layer is not 4-bit, or was packed by an eval forward.
    """
    if not isinstance(linear, Linear4bit):
        raise BackboneError(f"A {type(linear).__name__} holds no 4-bit weight: read its `weight` instead.")
    _refuse_packed(linear, "this layer")
    state = copy(linear.weight.quant_state)
    state.dtype = dtype or state.dtype
    weight: Tensor = bnb.functional.dequantize_4bit(linear.weight.data, state)
    return weight


def _refuse_packed(linear: nn.Module, name: str) -> None:
    if is_packed(linear):
        raise BackboneError(
            f"The 4-bit weight of {name} was packed for CPU inference by an eval forward:"
            " load it with `load_backbone`, which forbids that."
        )
