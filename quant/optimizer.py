"""AdamW with 8-bit states in paged memory: for cards that are full."""

from collections.abc import Sequence
from typing import Any

import torch

from quant.nf4 import PagedAdamW8bit

BLOCK = 256
"""States of so many neighbours share one float32 scale."""
SMALLEST = 4096
"""Parameters of fewer numbers keep float32 states."""


def paged_adamw_8bit(groups: Sequence[dict[str, Any]], betas: tuple[float, float]) -> torch.optim.Optimizer:
    """bitsandbytes' AdamW (8-bit optimizers, arXiv 2110.02861; paging, QLoRA, arXiv 2305.14314, section 3).

    Two states of a byte per trained number. Those of large parameters lie in memory that the driver moves
    between card and host as either fills. CUDA only: elsewhere bitsandbytes would page nothing.
    """
    optimizer: torch.optim.Optimizer = PagedAdamW8bit(groups, betas=betas, min_8bit_size=SMALLEST)
    return optimizer
