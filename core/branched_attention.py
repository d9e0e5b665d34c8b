"""Branches without waste: a candidate attends to the shared part and to itself; padding is never computed.

A dense mask says who may see whom, but all S * S scores are made and most of them thrown away; and rows that
are padded to the longest pass their padding through every linear. Here people lie one behind the other in one
row. The shared parts attend by themselves; branches that lie next to each other become a short problem: T
queries against P shared keys and their own T. What is paid is a copy of the shared keys per problem.

On the CPU only: there time goes with the scores that are made. On a GPU a dense mask is one launch, and
finding out how long rows are would wait for the device.

Shapes: B people, S packed positions of the longest, n positions of all people, P positions of the longest
shared part, N problems of T positions, A attention heads, G key heads, D head width.
"""

from collections.abc import Mapping, Sequence
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
"""Positions of a problem: of neighbouring branches, as many as fit. As many whoever else is asked, and own
keys before the shared ones: what a longer shared part adds stands last and counts nothing, so sums do not
depend on others. Only a branch longer than this makes problems longer."""
COPIED = 64 << 20
"""Bytes of shared keys that are copied at once; where problems need more, a few go at a time."""


@dataclass(frozen=True)
class Branching:
    """Where B people and their branches lie in one row.

    Attributes:
        lengths: B, positions of each person; n in all.
        keep: [n] int64, which of the B * S packed positions they are.
        back: [B * S] int64, where a packed position lies in the row; for padding, its person's last.
        shape: (B, P, N, T).
        shared: [B * P] int64, where the shared parts lie in the row; a short one repeats its last.
        own: [N * T] int64, where the problems' positions lie in the row; a short one repeats its last.
        keys: [N * (T + P)] int64, where the keys of each problem lie: its own, its person's shared part.
        put: [n] int64, where each position's result lies among the B * P and then the N * T ones.
        seen: [N, 1, T, T + P], added to scores: 0 where a key may be seen, -inf elsewhere.
    """

    lengths: tuple[int, ...]
    keep: Tensor
    back: Tensor
    shape: tuple[int, int, int, int]
    shared: Tensor
    own: Tensor
    keys: Tensor
    put: Tensor
    seen: Tensor

    @classmethod
    def of(cls, packed: Packed, dtype: torch.dtype) -> "Branching":
        """Of one batch; `seen` is in `dtype`."""
        return cls._of(packed.prefix_end, packed.branch_end, packed.words.shape[1], dtype)

    @classmethod
    def of_all(cls, packs: Sequence[Packed], dtype: torch.dtype) -> "Branching":
        """Of several people, packed alone (B = 1 each), with branches or without."""
        most = max(pack.branch_end.shape[1] for pack in packs)
        ends = []
        for pack in packs:
            own = pack.branch_end if pack.branch_end.numel() else pack.prefix_end.unsqueeze(1)
            ends.append(torch.cat([own, own[:, -1:].expand(-1, most - own.shape[1])], 1))  # empty branches
        size = max(pack.words.shape[1] for pack in packs)
        return cls._of(torch.cat([pack.prefix_end for pack in packs]), torch.cat(ends), size, dtype)

    @classmethod
    def _of(cls, prefix_end: Tensor, ends: Tensor, size: int, dtype: torch.dtype) -> "Branching":
        """Of B people: prefix_end [B], ends [B, C], S = size."""
        prefix = prefix_end.unsqueeze(1)  # (B, 1)
        lengths = ends[:, -1:] + 1  # (B, 1)
        first = lengths.cumsum(0) - lengths  # (B, 1) where each person begins in the row
        positions = torch.arange(size)  # (S,)
        back = first + torch.minimum(positions, lengths - 1)  # (B, S)

        common = int(prefix.max()) + 1
        within = torch.minimum(positions[:common], prefix)  # (B, P)
        shared = first + within
        owner, starts, stops = _problems((prefix + 1).flatten().tolist(), (ends + 1).tolist())  # (N,) each
        steps = torch.arange(max([TOGETHER, *(stops - starts).tolist()]))
        at = torch.minimum(starts.unsqueeze(1) + steps, stops.unsqueeze(1) - 1)  # (N, T) within a person
        count, longest = at.shape
        own = first[owner] + at

        put = torch.empty(int(lengths.sum()), dtype=torch.int64)
        people = len(prefix)
        put[shared.flatten()] = (torch.arange(people).unsqueeze(1) * common + within).flatten()
        real = (starts.unsqueeze(1) + steps < stops.unsqueeze(1)).flatten()
        put[own.flatten()[real]] = people * common + real.nonzero().flatten()

        branch = torch.searchsorted(ends[owner], at)  # which one a position belongs to
        visible = torch.empty(count, longest, longest + common, dtype=torch.bool)
        visible[..., :longest] = (branch.unsqueeze(-1) == branch.unsqueeze(-2)).tril()
        visible[..., longest:] = (positions[:common] <= prefix)[owner].unsqueeze(1)
        seen = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -torch.inf)
        return cls(
            tuple(lengths.flatten().tolist()),
            (positions < lengths).flatten().nonzero().flatten(),
            back.flatten(),
            (people, common, count, longest),
            shared.flatten(),
            own.flatten(),
            torch.cat([own, shared[owner]], 1).flatten(),
            put,
            seen.unsqueeze(1),
        )

    def row(self, packed: Tensor) -> Tensor:
        """What lies at packed positions [B, S, ...] as one row [1, n, ...]."""
        return packed.flatten(0, 1).index_select(0, self.keep).unsqueeze(0)

    def rows(self, row: Tensor) -> Tensor:
        """One row [1, n, ...] as packed positions [B, S, ...]."""
        return row[0].index_select(0, self.back).view(self.shape[0], -1, *row.shape[2:])


def _problems(begins: Sequence[int], ends: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbouring branches, as many as `TOGETHER` positions hold: whose each problem is, its first and its
    behind-the-last position, [N] each."""
    found: list[tuple[int, int, int]] = []
    for person, (begin, theirs) in enumerate(zip(begins, ends, strict=True)):
        start = stop = begin
        for end in theirs:
            if end - start > TOGETHER and stop > start:
                found.append((person, start, stop))
                start = stop
            stop = end
        if stop > start:
            found.append((person, start, stop))
    owner, starts, stops = torch.tensor(found, dtype=torch.int64).view(-1, 3).unbind(1)
    return owner, starts, stops


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
    people, size, count, longest = branching.shape
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (n, heads, D)
    shared = branching.shared
    first = [_taken(x, shared, people, size) for x in (q, k, v)]
    parts = [_attended(first[0], first[1], first[2], None, kwargs)]  # (B * P, A, D)
    step = max(1, COPIED // ((size + longest) * k[0].numel() * k.element_size()))
    for start in range(0, count, step):
        own = branching.own[start * longest : (start + step) * longest]
        keys = branching.keys[start * (size + longest) : (start + step) * (size + longest)]
        parts.append(
            _attended(
                _taken(q, own, -1, longest),
                _taken(k, keys, -1, size + longest),
                _taken(v, keys, -1, size + longest),
                branching.seen[start : start + step],
                kwargs,
            )
        )  # (problems * T, A, D)
    return torch.cat(parts).index_select(0, branching.put).unsqueeze(0), None


def _attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, told: Mapping[str, Any]) -> Tensor:
    """N problems of [N, positions, heads, D]; causal where nothing is `seen`: [N * positions, A, D]."""
    answer = scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=seen,
        dropout_p=told.get("dropout", 0.0),
        is_causal=seen is None,
        scale=told.get("scaling"),
        enable_gqa=q.shape[2] != k.shape[2],
    )
    return answer.transpose(1, 2).flatten(0, 1)


def _taken(x: Tensor, at: Tensor, *shape: int) -> Tensor:
    """x [n, heads, D] at positions -> [*shape, heads, D]."""
    return x.index_select(0, at).view(*shape, *x.shape[1:])


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
