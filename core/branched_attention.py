"""Branches without waste: a candidate attends to the shared part and to itself; padding is never computed.

A dense mask says who may see whom, but all S * S scores are made and most of them thrown away; and rows that
are padded to the longest pass their padding through every linear. Here people lie one behind the other in one
row, and each is attended to in pieces: the shared part by itself, then neighbouring branches, a few at a
time, against the shared keys and their own. Nothing of a piece depends on who else is asked: a person's sums
are the same alone as in any company.

On the CPU only: there time goes with the scores that are made. On a GPU a dense mask is one launch, and
finding out how long rows are would wait for the device.

Shapes: B people, S packed positions of the longest, n positions of all people, P positions of a shared part,
T positions of a piece, A attention heads, G key heads, D head width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from core.packing import Packed

NAME = "branched_sdpa"
TOGETHER = 64
"""Positions of a piece: of neighbouring branches, as many as fit. A branch that is longer is not cut."""


@dataclass(frozen=True)
class Piece:
    """Queries that are answered in one call: a shared part, or neighbouring branches.

    Attributes:
        shared: where the shared part lies in the row; empty for a shared part itself, which is causal.
        own: where the queries lie in the row.
        seen: [T, P + T], added to scores: 0 where a key may be seen, -inf elsewhere; None is causal.
    """

    shared: slice
    own: slice
    seen: Tensor | None


@dataclass(frozen=True)
class Branching:
    """Where B people and their branches lie in one row.

    Attributes:
        lengths: B, positions of each person; n in all.
        keep: [n] int64, which of the B * S packed positions they are.
        back: [B * S] int64, where a packed position lies in the row; for padding, its person's last.
        pieces: in the order of the row, every position in one of them.
    """

    lengths: tuple[int, ...]
    keep: Tensor
    back: Tensor
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, packed: Packed, dtype: torch.dtype) -> "Branching":
        """Of one batch; what is added to scores is in `dtype`."""
        ends = packed.branch_end.tolist()
        return cls._of(packed.prefix_end.tolist(), ends, packed.words.shape[1], dtype)

    @classmethod
    def of_all(cls, packs: Sequence[Packed], dtype: torch.dtype) -> "Branching":
        """Of several people, packed alone (B = 1 each), with branches or without."""
        prefixes = [int(pack.prefix_end) for pack in packs]
        ends = [pack.branch_end[0].tolist() for pack in packs]
        return cls._of(prefixes, ends, max(pack.words.shape[1] for pack in packs), dtype)

    @classmethod
    def _of(
        cls, prefix_ends: Sequence[int], branch_ends: Sequence[Sequence[int]], size: int, dtype: torch.dtype
    ) -> "Branching":
        """Of B people in S = size positions each."""
        pieces: list[Piece] = []
        lengths: list[int] = []
        for prefix_end, ends in zip(prefix_ends, branch_ends, strict=True):
            first = sum(lengths)
            shared = slice(first, first + prefix_end + 1)
            pieces.append(Piece(slice(first, first), shared, None))
            for own in _together(prefix_end, ends):
                seen = _seen(prefix_end + 1, own, dtype)
                start, stop = first + own[0] + 1, first + own[-1] + 1
                pieces.append(Piece(shared, slice(start, stop), seen))
            lengths.append((ends[-1] if ends else prefix_end) + 1)
        count = torch.tensor(lengths).unsqueeze(1)  # (B, 1)
        positions = torch.arange(size)  # (S,)
        back = count.cumsum(0) - count + torch.minimum(positions, count - 1)  # (B, S)
        keep = (positions < count).flatten().nonzero().flatten()
        return cls(tuple(lengths), keep, back.flatten(), tuple(pieces))

    def row(self, packed: Tensor) -> Tensor:
        """What lies at packed positions [B, S, ...] as one row [1, n, ...]."""
        return packed.flatten(0, 1).index_select(0, self.keep).unsqueeze(0)

    def rows(self, row: Tensor) -> Tensor:
        """One row [1, n, ...] as packed positions [B, S, ...]."""
        return row[0].index_select(0, self.back).view(len(self.lengths), -1, *row.shape[2:])

    def mask(self) -> Tensor:
        """A stand-in for a 4-D mask: nobody reads it, and it keeps a backbone from making its own."""
        return torch.empty(1, 1, 1, 1)


def _together(prefix_end: int, ends: Sequence[int]) -> Iterator[list[int]]:
    """Neighbouring branches, as many as `TOGETHER` positions hold: the last position before them, then each
    one's last."""
    group = [prefix_end]
    for end in ends:
        if end - group[0] > TOGETHER and len(group) > 1:
            yield group
            group = group[-1:]
        group.append(end)
    if len(group) > 1:
        yield group


def _seen(shared: int, ends: Sequence[int], dtype: torch.dtype) -> Tensor:
    """What branches that end at `ends[1:]` see of P shared positions and of themselves: [T, P + T]."""
    edges = torch.tensor(ends)
    branch = torch.repeat_interleave(edges[1:] - edges[:-1])  # (T,) which one a position belongs to
    own = (branch.unsqueeze(0) == branch.unsqueeze(1)).tril()
    hidden = torch.cat([own.new_zeros(len(own), shared), ~own], 1)
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf)


def can_branch(model: PreTrainedModel) -> bool:
    """Whether this model's attention takes a `Branching`."""
    return bool(model.config._attn_implementation == NAME)


def use_branches(model: PreTrainedModel) -> None:
    """Let a model's attention take a `Branching`; without one it answers as before.

    Models with an attention of their own (Gemma 2 caps its scores) stay as they are, and read dense masks.
    """
    if model.config._attn_implementation == "sdpa" and model._supports_attention_backend:
        model.set_attn_implementation(NAME)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    branching: Branching | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers: query [1, A, n, D], key and value [1, G, n, D] -> [1, n, A, D].

    Without a `branching` it is the library's own.
    """
    if branching is None:
        answer, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return answer, None
    parts = []
    for piece in branching.pieces:
        k, v = key[:, :, piece.own], value[:, :, piece.own]
        if piece.seen is not None:
            k = torch.cat([key[:, :, piece.shared], k], 2)  # (1, G, P + T, D)
            v = torch.cat([value[:, :, piece.shared], v], 2)
        parts.append(_attended(query[:, :, piece.own], k, v, piece.seen, kwargs))  # (1, T, A, D)
    return torch.cat(parts, 1), None


def _attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, told: Mapping[str, Any]) -> Tensor:
    """q [1, A, T, D] to k and v [1, G, keys, D]; causal where nothing is `seen`: [1, T, A, D]."""
    answer = scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=seen,
        dropout_p=told.get("dropout", 0.0),
        is_causal=seen is None,
        scale=told.get("scaling"),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return answer.transpose(1, 2)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
