"""SASRec: a small causal transformer over item ids (Kang & McAuley 2018, arXiv 1808.09781).

It is the router's eye: its state after a person's last item feeds the gate (iLoRA, arXiv 2408.10159, section
3.2) and retrieves candidates. Written by hand so that it exports to ONNX and can be read in a minute.

Shapes: B batch, L history length, D width, N catalogue items. Item index N is padding, on the right.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from core.gate import Gate
from core.routing import History, Routing, pad_indices


@dataclass(frozen=True)
class EncoderShape:
    """What is needed to rebuild an encoder before its weights are loaded."""

    num_items: int
    width: int = 64
    layers: int = 2
    heads: int = 2
    max_length: int = 50
    dropout: float = 0.3

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


class SelfAttention(nn.Module):
    """Causal multi-head self-attention in plain matrix products: [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"encoder width {width} must be a multiple of its {heads} heads")
        self.heads, self.head_width = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, future: Tensor) -> Tensor:
        b, t, d = x.shape
        qkv = self.qkv(x).view(b, t, 3, self.heads, self.head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, T, head_width)
        attention = (q @ k.transpose(-2, -1)) * self.head_width**-0.5  # (B, heads, T, T)
        # A finite floor, not -inf: every row sees at least itself, and ONNX int8 dislikes infinities.
        attention = attention.masked_fill(future, -1e9).softmax(-1)
        y = (self.dropout(attention) @ v).transpose(1, 2).reshape(b, t, d)
        out: Tensor = self.out(y)
        return out


class Block(nn.Module):
    """Pre-norm attention and feed-forward with residuals: [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, dropout)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, future: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x), future))
        x = x + self.dropout(self.feed(self.norm_feed(x)))
        return x


class SASRec(nn.Module):
    """History in, one state per prefix out.

    A learned start token stands before every history, so the empty history has a state of its own (it learns
    what people begin with) and no length needs a special case.
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.items = nn.Embedding(shape.num_items + 1, width, padding_idx=shape.num_items)
        self.start = nn.Parameter(torch.zeros(width))
        self.positions = nn.Embedding(shape.max_length + 1, width)
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(width, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width)
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
            elif module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()

    def padded(self, histories: Sequence[History], longest: int | None = None) -> Tensor:
        """The last items of B histories as the encoder reads them, where it stands: int64 [B, L], L >= 1,
        padded on the right with N.

        Args:
            longest: read at most so many; None is all that it can, `max_length`.
        """
        length = self.shape.max_length if longest is None else longest
        return pad_histories(histories, self.shape.num_items, length).to(self.start.device)

    def forward(self, history: Tensor) -> Tensor:
        """history [B, L] int64, padded on the right with N -> states [B, L+1, D]; state t follows t items.

        No padding mask is needed: attention is causal and the padding comes last, so no real position sees
        it.
        """
        b, length = history.shape
        tokens = self.items(history) * self.shape.width**0.5  # (B, L, D)
        start = self.start.expand(b, 1, -1)
        positions = self.positions(torch.arange(length + 1, device=history.device))
        x = self.dropout(torch.cat([start, tokens], dim=1) + positions)  # (B, L+1, D)
        future = torch.ones(length + 1, length + 1, dtype=torch.bool, device=history.device).triu(1)
        for block in self.blocks:
            x = block(x, future)
        states: Tensor = self.norm(x)
        return states

    def last_state(self, history: Tensor) -> Tensor:
        """history [B, L] int64 padded on the right -> the state after each row's last item, [B, D]."""
        states = self.forward(history)
        lengths = (history != self.shape.num_items).sum(1)
        index = lengths.view(-1, 1, 1).expand(-1, 1, states.shape[-1])
        return states.gather(1, index).squeeze(1)

    def score(self, states: Tensor) -> Tensor:
        """states [..., D] -> scores of the whole catalogue [..., N] (tied to the item vectors)."""
        return states @ self.items.weight[: self.shape.num_items].T


def pad_histories(histories: Sequence[History], num_items: int, max_length: int) -> Tensor:
    """:func:`core.routing.pad_indices` as a tensor: int64 [B, L], L >= 1, padded on the right with N."""
    return torch.from_numpy(pad_indices(histories, num_items, max_length))


class TorchRouter:
    """The torch twin of the ONNX router: used in training and in parity tests, never on the request path.

    Encoder and gate may stand on any device, as a run moves them to its own; what comes out is numpy.

    Args:
        encoder: a trained SASRec; used in eval mode (dropout in the gate is one of the published code's
            defects).
        gate: the trained gate, or None for adapters without experts (K = 1).
        retrieve: C, how many candidates to retrieve (at most N).
    """

    def __init__(self, encoder: SASRec, gate: Gate | None, retrieve: int = 100) -> None:
        self.encoder, self.gate = encoder.eval(), gate
        self.retrieve = min(retrieve, encoder.shape.num_items)

    @property
    def num_experts(self) -> int:
        return self.gate.num_experts if self.gate is not None else 1

    @torch.inference_mode()
    def route(self, histories: Sequence[History]) -> Routing:
        """Histories (oldest first, any length, empty allowed) -> Routing for B = len(histories)."""
        self.encoder.eval()
        sequence = self.encoder.last_state(self.encoder.padded(histories))
        scores = self.encoder.score(sequence)
        gate = sequence.new_ones(len(histories), 1)
        if self.gate is not None:
            gate = self.gate(sequence.to(next(self.gate.parameters()).device)).float()
        retrieved = scores.topk(self.retrieve, dim=-1).indices
        return Routing(*(told.cpu().numpy() for told in (sequence, gate, scores, retrieved)))
