"""Adapters in eight bits: how a bundle that has to be small keeps LoRA matrices, and how they are read again.

Every rank component has one scale for its row of A and one for its column of B, so that components, and the
experts they make up, are rounded alike however large they grew. With values spread as trained ones are, that
rounds by about 1 % of their standard deviation; bf16 rounds by a quarter of it.

Shapes: R rank.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from peft.utils.save_and_load import load_peft_weights
from torch import Tensor

SCALE = ".scale"
LARGEST = 127
COMPONENT = {"experts_A": 0, "lora_A": 0, "experts_B": 1, "lora_B": 1}
"""By the kind of matrix: the axis along which its rank components lie."""


def in_eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """LoRA matrices as int8 with a scale [R] each, everything else as it is.

    Doing it to what `from_eight_bits` gives changes nothing: scales are bf16 numbers, whose products with
    127 are exact.
    """
    kept: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if (axis := component_axis(key)) is None:
            kept[key] = value
            continue
        value = value.float()
        scale = value.abs().amax(dim=1 - axis, keepdim=True) / LARGEST
        scale = scale.bfloat16().float().clamp_min(torch.finfo(torch.float32).tiny)
        kept[key] = (value / scale).round().clamp(-LARGEST, LARGEST).to(torch.int8)
        kept[key + SCALE] = scale.flatten()
    return kept


def from_eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The matrices again, fp32; what is not in eight bits stays as it is.

    Raises:
        KeyError: a scale is missing.
    """
    kept: dict[str, Tensor] = {}
    for key, value in tensors.items():
        axis = component_axis(key)
        if key.endswith(SCALE) and component_axis(key.removesuffix(SCALE)) is not None:
            continue
        if axis is None or value.dtype != torch.int8:
            kept[key] = value
            continue
        scale = tensors[key + SCALE]
        kept[key] = value.float() * (scale.unsqueeze(1) if axis == 0 else scale)
    return kept


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """The tensors of a PEFT folder, whichever way they are kept."""
    return from_eight_bits(load_peft_weights(str(folder), device="cpu"))


def component_axis(key: str) -> int | None:
    """Along which axis a tensor's rank components lie; None for what is no LoRA matrix."""
    return COMPONENT.get(key.removesuffix(".weight").rsplit(".", 1)[-1])
