"""In how many bits a backbone is held, and what it computes with."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from quant.errors import BackboneError

Quantization = Literal["nf4", "bf16", "fp32"]
Compute = Literal["auto", "bf16", "fp32"]
"""Dtype of hidden states and products of an NF4 backbone; "auto" is the faster one on the device."""
Weights = Literal["nf4", "cached"]
"""Whether 4-bit weights are dequantized in every product ("nf4") or once, when loading ("cached")."""


@dataclass(frozen=True)
class Precision:
    """How weights are held.

    Attributes:
        name: "nf4" (linears only; embeddings, norms and lm_head stay bf16), "bf16" or "fp32".
        storage: dtype the 4-bit words are stored as. FSDP shards only weights of one float dtype and needs
            the compute dtype here; it changes no value.
        compute: what an "nf4" backbone computes with. The 4-bit words and their scales are the same either
            way; everything else is widened, never quantized again.
    """

    name: Quantization
    storage: torch.dtype = torch.uint8
    compute: Literal["bf16", "fp32"] = "bf16"

    def __post_init__(self) -> None:
        if self.name not in get_args(Quantization):
            raise BackboneError(
                f'Unknown quantization "{self.name}": use {", ".join(get_args(Quantization))}.'
            )

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of hidden states and products."""
        return torch.float32 if self.name == "fp32" or self._widened else torch.bfloat16

    @property
    def load_dtype(self) -> torch.dtype:
        """Dtype in which unquantized weights are read; an NF4 backbone is widened after reading."""
        return torch.float32 if self.name == "fp32" else torch.bfloat16

    @property
    def _widened(self) -> bool:
        return self.name == "nf4" and self.compute == "fp32"

    @property
    def key(self) -> str:
        """Names a stored form, as in `nf4-uint8`."""
        return f"{self.name}-{str(self.storage).removeprefix('torch.')}" if self.name == "nf4" else self.name
