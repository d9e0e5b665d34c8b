"""In how many bits a backbone is held, and what it computes with."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from quant.errors import BackboneError

Quantization = Literal["nf4", "bf16", "fp32"]


@dataclass(frozen=True)
class Precision:
    """How weights are held.

    Attributes:
        name: "nf4" (linears only; embeddings, norms and lm_head stay bf16), "bf16" or "fp32".
        storage: dtype the 4-bit words are stored as. FSDP shards only weights of one float dtype and needs
            the compute dtype here; it changes no value.
    """

    name: Quantization
    storage: torch.dtype = torch.uint8

    def __post_init__(self) -> None:
        if self.name not in get_args(Quantization):
            raise BackboneError(
                f'Unknown quantization "{self.name}": use {", ".join(get_args(Quantization))}.'
            )

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of hidden states and products."""
        return torch.float32 if self.name == "fp32" else torch.bfloat16

    @property
    def key(self) -> str:
        """Names a stored form, as in `nf4-uint8`."""
        return f"{self.name}-{str(self.storage).removeprefix('torch.')}" if self.name == "nf4" else self.name
