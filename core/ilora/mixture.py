"""Where a batch's mixture comes from, and whether it is one that an adapter can use."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.ilora.config import ILoraConfig
from core.ilora.gating import AdapterError


def mixture_source(
    gate: nn.Module, config: ILoraConfig, weights: Tensor | None, sequence: Tensor | None
) -> Callable[[], Tensor]:
    """How to get a mixture, and to get it again (see `GateContext.load`).

    Args:
        gate: of the adapter that `config` is of; asked only for `sequence`.
        weights: [B, K] or [B, layers, K], the mixture itself.
        sequence: [B, D], what the gate reads.

    Raises:
        AdapterError: not exactly one is given, or `sequence` has another shape.
    """
    if weights is not None and sequence is not None:
        raise AdapterError("Give gate_weights= or sequence=, not both: they answer the same question.")
    if weights is not None:
        return lambda: weights
    assert sequence is not None
    width = config.gate_width
    if sequence.dim() != 2 or sequence.shape[1] != width:
        raise AdapterError(
            f"sequence= has shape {list(sequence.shape)}; this adapter's gate reads [B, {width}]."
        )
    like = next(gate.parameters())

    def mixture() -> Tensor:
        # In the gate's own float32 even under autocast: its exported twin must give the same mixture.
        with torch.autocast(like.device.type, enabled=False):
            computed: Tensor = gate(sequence.to(like))
        return computed

    return mixture


def check_mixture(config: ILoraConfig, num_layers: int, weights: Tensor) -> None:
    """Raise AdapterError where `weights` [B, ...] is not one mixture of this adapter per row."""
    allowed: list[list[int]] = [[config.num_experts]]
    if config.gate == "per_layer":
        allowed.append([num_layers, config.num_experts])
    if list(weights.shape[1:]) not in allowed:
        wanted = " or ".join("[B, " + ", ".join(map(str, shape)) + "]" for shape in allowed)
        raise AdapterError(f"The gate has shape {list(weights.shape)}; this adapter takes {wanted}.")


def rows_each(mixtures: int, batch: int, generating: bool) -> int:
    """How many rows of a batch each mixture is for: one, or as many as a generator repeats a prompt.

    Raises:
        AdapterError: the numbers do not fit.
    """
    if generating and mixtures and batch % mixtures == 0:
        return batch // mixtures
    if mixtures != batch:
        raise AdapterError(f"The gate has {mixtures} rows, the batch {batch}: give one mixture per row.")
    return 1


def compute_dtype(model: nn.Module, batch: Tensor | None) -> torch.dtype:
    """The dtype of hidden states: that of the given embeddings, else of the backbone's first weight."""
    if batch is not None and batch.is_floating_point():
        return batch.dtype
    return next(p.dtype for p in model.parameters() if p.is_floating_point())
