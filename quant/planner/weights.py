"""Bytes of weights and of optimizer states, counted as bitsandbytes stores them."""

from math import ceil

from quant.optimizer import BLOCK, SMALLEST
from quant.planner.architecture import Architecture
from quant.precision import Quantization

NF4_BLOCK = 64
"""Weights that share one scale (QLoRA, arXiv 2305.14314, section 3)."""
SCALE_BLOCK = 256
"""Scales that share one scale of their own: double quantization."""


def nf4_bytes(weights: int) -> int:
    """One linear's matrix of so many numbers as NF4 with double quantization.

    Half a byte a number; a byte of scale per 64 numbers; four bytes per 256 scales; and per linear the two
    code tables (16 and 256 float32) and the scales' mean (one float32). For large linears 0.5159 bytes a
    number.
    """
    words = ceil(weights / 2)
    scales = ceil(weights / NF4_BLOCK)
    return words + scales + 4 * ceil(scales / SCALE_BLOCK) + 4 * (16 + 256 + 1)


def layer_bytes(model: Architecture, quantization: Quantization, width: int) -> int:
    """The linears' matrices of one layer; `width` is the bytes of a number when they are not 4-bit."""
    if quantization == "nf4":
        return sum(nf4_bytes(linear.weights) for linear in model.linears)
    return width * model.layer_weights


def weights_bytes(model: Architecture, quantization: Quantization, width: int) -> int:
    """The whole model: layers as quantized; embeddings, head, norms and biases in the compute dtype.

    Args:
        width: bytes of a number in the compute dtype: 2 (bf16) or 4 (fp32).
    """
    return model.layers * layer_bytes(model, quantization, width) + width * model.others


def adamw_bytes(parameters: int) -> int:
    """torch's AdamW: two float32 moments a number."""
    return 8 * parameters


def paged_adamw_8bit_bytes(sizes: list[int]) -> int:
    """bitsandbytes' 8-bit AdamW over parameters of these sizes, the paged part counted as if on the card.

    Two bytes a number and eight per 256 numbers; parameters below 4,096 numbers keep two float32.
    """
    return sum(8 * n if n < SMALLEST else 2 * n + 8 * ceil(n / BLOCK) for n in sizes)
