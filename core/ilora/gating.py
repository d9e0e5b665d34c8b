"""The gate of the pass that is running: one small object that the tuner fills and every adapted linear reads.

It outlives the forward pass on purpose: gradient checkpointing runs layers again while going backward, and
they must find the gate they first saw. So one forward pass per backward pass, when layers are checkpointed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.errors import IloraError

if TYPE_CHECKING:
    from core.ilora.mixed import MixedBatch


class AdapterError(IloraError):
    """An adapter was used in a way that has no meaning: a missing or misshapen gate, an undefined merge."""


def rank_rows(weights: Tensor, expert_rank: int, scaling: float, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Spread expert weights over the rank, scale included: what ``A x`` is multiplied by in every layer.

    ``dW x = s * B ((A x) * repeat_interleave(w, R/K))`` equals ``s * sum_k w_k B_k A_k x`` (arXiv 2408.10159,
    section 3.3), at LoRA's cost. Done once per pass, not once per layer.

    Shapes: weights [B, K] -> one tensor [B, 1, R] for all layers; [B, layers, K] -> one [B, 1, R] per layer.
    Returned in `dtype`; differentiable in `weights`.
    """
    scaled = (weights * scaling).to(dtype)
    rows = scaled.unsqueeze(-1).expand(*scaled.shape, expert_rank).flatten(-2)  # (B, R) or (B, layers, R)
    if rows.dim() == 2:
        return (rows.unsqueeze(1),)  # (B, 1, R)
    return rows.transpose(0, 1).unsqueeze(2).contiguous().unbind(0)  # layers times (B, 1, R)


def by_position(rows: Sequence[Tensor], lengths: Sequence[int]) -> tuple[Tensor, ...]:
    """Rows [B, 1, R] of people who lie one after the other in one row, at each of its positions: [1, S, R].

    Args:
        lengths: B, positions of each person; they sum to S.
    """
    times = torch.tensor(lengths, device=rows[0].device)
    size = sum(lengths)
    return tuple(row.squeeze(1).repeat_interleave(times, 0, output_size=size).unsqueeze(0) for row in rows)


class GateContext:
    """Holds the rows that scale ``A x`` in the pass that is running.

    Attributes:
        weights: [B, K] or [B, layers, K], the mixture in use, detached; None when none is known.
        broadcast: the mixture has one row that serves every row of the batch (a pinned gate).
        pinned: by adapter, a fixed mixture [K] or [layers, K] (see `ILoraModel.pin_gate`).
        mixed: whose rows are whose, where several adapters answer the pass; None where the active one does.
    """

    def __init__(self) -> None:
        self.weights: Tensor | None = None
        self.broadcast = False
        self.pinned: dict[str, Tensor] = {}
        self.mixed: MixedBatch | None = None
        self._rows: tuple[Tensor, ...] | None = None
        self._build: Callable[[], tuple[Tensor, ...]] | None = None
        self._consumed = False
        self._turned: dict[int, Tensor] = {}

    def clear(self) -> None:
        """Forget the mixture (not the pinned ones): a layer that needs one will say so."""
        self.weights = self._rows = self._build = self.mixed = None
        self.broadcast = self._consumed = False

    def load(
        self,
        source: Callable[[], Tensor],
        spread: Callable[[Tensor], tuple[Tensor, ...]],
        broadcast: bool = False,
    ) -> None:
        """Use another mixture from now on.

        Args:
            source: computes the mixture, [B, K] or [B, layers, K]. It may be asked again: with reentrant
                checkpointing the first layer's backward frees the gate's graph, and the next needs another.
            spread: from the mixture to rows, see `rank_rows`.
            broadcast: see the class.
        """
        self.clear()

        def build() -> tuple[Tensor, ...]:
            mixture = source()
            self.weights = mixture.detach()
            return spread(mixture)

        self.broadcast, self._build = broadcast, build
        self._refresh(build)

    def _refresh(self, build: Callable[[], tuple[Tensor, ...]]) -> None:
        rows = build()
        self._rows, self._consumed, self._turned = rows, False, {}
        if not rows[0].requires_grad:
            return

        def mark(_: Tensor) -> None:
            if self._rows is rows:  # and not those of a later pass
                self._consumed = True

        for row in rows:
            row.register_hook(mark)  # type: ignore[no-untyped-call]

    def rows(self, layer_index: int, dtype: torch.dtype | None = None) -> Tensor:
        """The rows [B, 1, R] of one layer, in the compute dtype, or in `dtype` with the same numbers.

        Raises:
            AdapterError: no mixture is known.
        """
        if self._rows is None or self._build is None:
            raise AdapterError(
                "This adapter mixes several experts but was given no gate: pass gate_weights= (B rows of K"
                " weights) or sequence= (B rows of D numbers), or call set_gate() or pin_gate() before."
            )
        if self._consumed and torch.is_grad_enabled():
            self._refresh(self._build)
        rows = self._rows[layer_index if len(self._rows) > 1 else 0]
        if dtype is None or dtype == rows.dtype:
            return rows
        if rows.requires_grad:
            return rows.to(dtype)
        # Once a pass, not once a linear: to turn eight numbers into others takes as long as to multiply them.
        if id(rows) not in self._turned:
            self._turned[id(rows)] = rows.to(dtype)
        return self._turned[id(rows)]
