"""Branches without waste: a candidate attends to the shared part and to itself; padding is never computed.

A dense mask says who may see whom, but all S * S scores are made and most of them thrown away; and rows that
are padded to the longest pass their padding through every linear. Here people lie one behind the other in one
row. A person's shared part is attended to by itself; all his branches then meet the shared keys in one
product, and their own in groups of neighbours, and one softmax runs over both. Nothing depends on who else is
asked: a person's sums are the same alone as in any company.

Products and softmax by themselves, and no flash attention: pieces are so small that a flash kernel for the
CPU does 100 GFLOP/s where the products do 200 to 800 (two cores with AVX512-BF16). Scores are made in fp32,
as a flash kernel makes them. Where short rows train in bf16, with branches or without, products are faster by
far (`_trains_short`).

On the CPU only: there time goes with the scores that are made. On a GPU a dense mask is one launch, and
finding out how long rows are would wait for the device.

Shapes: B people, S packed positions of the longest, n positions of all people, P positions of a shared part,
m positions of a person's branches, N groups of neighbouring branches, T positions of the longest group, A
attention heads, G key heads, H = A / G, D head width.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from core.packing import Packed

NAME = "branched_sdpa"
TOGETHER = 32
"""Positions of a group: of neighbouring branches, as many as fit. A branch that is longer is not cut."""


LONGEST = 512
"""Positions of a row up to which training keeps its attention weights instead of making them anew on the way
back; they grow with the square."""


@dataclass(frozen=True)
class Branches:
    """A person's branches, N groups of neighbours.

    Attributes:
        at: [N, T] int64, where a group's positions lie in the row; a shorter group repeats its last.
        where: the m positions in the row, one after the other.
        seen: [N, T, 1, T] float32, added to scores of a group's own keys: 0 where one may be seen, else -inf.
        back: [m] int64, where in N * T a branch's position is; None where nothing is repeated.
    """

    at: Tensor
    where: slice
    seen: Tensor
    back: Tensor | None

    @classmethod
    def of(cls, first: int, prefix_end: int, ends: Sequence[int]) -> "Branches":
        """Branches that end at `ends` of a person whose first position lies at `first` in the row."""
        groups = list(_together(prefix_end, ends))
        lengths = torch.tensor([group[-1] - group[0] for group in groups]).unsqueeze(1)  # (N, 1)
        steps = torch.arange(int(lengths.max()))
        starts = torch.tensor([first + group[0] + 1 for group in groups]).unsqueeze(1)
        inside = steps < lengths  # (N, T)
        seen = torch.full((len(groups), len(steps), len(steps)), -torch.inf)
        for mask, group in zip(seen, groups, strict=True):
            edges = torch.tensor(group)
            owner = torch.repeat_interleave(edges[1:] - edges[:-1])  # which branch a position belongs to
            size = len(owner)
            mask[:size, :size][(owner.unsqueeze(0) == owner.unsqueeze(1)).tril()] = 0.0
            mask[size:, size - 1] = 0.0  # what repeats the last is thrown away, but must not be NaN
        back = None if inside.all() else inside.flatten().nonzero().flatten()
        where = slice(first + prefix_end + 1, first + ends[-1] + 1)
        return cls(starts + torch.minimum(steps, lengths - 1), where, seen.unsqueeze(2), back)

    def take(self, row: Tensor) -> Tensor:
        """The groups' positions of a row [n, ...]: [N * T, ...]."""
        return row[self.where] if self.back is None else row.index_select(0, self.at.flatten())


@dataclass(frozen=True)
class Place:
    """One person: where his shared part lies in the row, and his branches, if any."""

    shared: slice
    branches: Branches | None


@dataclass(frozen=True)
class Branching:
    """Where B people and their branches lie in one row.

    Attributes:
        lengths: B, positions of each person; n in all.
        keep: [n] int64, which of the B * S packed positions they are.
        back: [B * S] int64, where a packed position lies in the row; for padding, its person's last.
        people: in the order of the row.
    """

    lengths: tuple[int, ...]
    keep: Tensor
    back: Tensor
    people: tuple[Place, ...]

    @classmethod
    def of(cls, packed: Packed) -> "Branching":
        """Of one batch."""
        return cls._of(packed.prefix_end.tolist(), packed.branch_end.tolist(), packed.words.shape[1])

    @classmethod
    def of_all(cls, packs: Sequence[Packed]) -> "Branching":
        """Of several people, packed alone (B = 1 each), with branches or without."""
        prefixes = [int(pack.prefix_end) for pack in packs]
        ends = [pack.branch_end[0].tolist() for pack in packs]
        return cls._of(prefixes, ends, max(pack.words.shape[1] for pack in packs))

    @classmethod
    def _of(cls, prefix_ends: Sequence[int], branch_ends: Sequence[Sequence[int]], size: int) -> "Branching":
        """Of B people in S = size positions each."""
        people: list[Place] = []
        lengths: list[int] = []
        for prefix_end, ends in zip(prefix_ends, branch_ends, strict=True):
            first = sum(lengths)
            branches = Branches.of(first, prefix_end, ends) if ends else None
            people.append(Place(slice(first, first + prefix_end + 1), branches))
            lengths.append((ends[-1] if ends else prefix_end) + 1)
        count = torch.tensor(lengths).unsqueeze(1)  # (B, 1)
        positions = torch.arange(size)  # (S,)
        back = count.cumsum(0) - count + torch.minimum(positions, count - 1)  # (B, S)
        keep = (positions < count).flatten().nonzero().flatten()
        return cls(tuple(lengths), keep, back.flatten(), tuple(people))

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
    """An attention function of transformers: query [B, A, n, D], key and value [B, G, n, D] -> [B, n, A, D].

    With a `branching` B is 1, and what is read is said by it. Without one it is the library's own, but where
    short bf16 rows train on a CPU (`LONGEST`).
    """
    if branching is not None:
        parts = []
        for place in branching.people:
            shared = place.shared
            own = query[:, :, shared], key[:, :, shared], value[:, :, shared]
            parts.append(_shared(*own, kwargs))
            if place.branches is not None:
                parts.append(_branches(query, key, value, place.shared, place.branches, kwargs))
        return torch.cat(parts, 1), None
    if _trains_short(query, key):
        return _by_products(query, key, value, attention_mask, kwargs), None
    answer, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return answer, None


def _shared(q: Tensor, k: Tensor, v: Tensor, told: Mapping[str, Any]) -> Tensor:
    """A shared part attends to itself, causally: [1, P, A, D]."""
    if _trains_short(q, k):
        return _by_products(q, k, v, None, told)
    answer = scaled_dot_product_attention(
        q,
        k,
        v,
        dropout_p=told.get("dropout", 0.0),
        is_causal=True,
        scale=told.get("scaling"),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return answer.transpose(1, 2)


def _trains_short(q: Tensor, k: Tensor) -> bool:
    """Whether a flash kernel for the CPU would be the slower one: its way back takes seven times as long as
    its way there at 28 bf16 positions (32 rows: 8 ms a layer, where products take 1)."""
    trains = torch.is_grad_enabled() and q.requires_grad
    small = q.shape[2] <= LONGEST and q.shape[2] == k.shape[2]
    return trains and small and q.dtype == torch.bfloat16 and q.device.type == "cpu"


def _by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, told: Mapping[str, Any]) -> Tensor:
    """Attention over a mask, causal without one, by two products and a softmax in fp32: [B, n, A, D].

    Scores are bf16, as in the eager attention of transformers.
    """
    (people, heads, size, width), groups = q.shape, k.shape[1]
    shape = (people * groups, -1, width)
    # The query heads of a key head are rows of its products.
    rows = (q * (told.get("scaling") or width**-0.5)).reshape(shape)
    hidden = _causal(size, heads // groups) if mask is None else _hidden(mask, people, heads, groups)
    scores = torch.baddbmm(hidden, rows, k.reshape(shape).transpose(1, 2))  # (B * G, H * n, n)
    weights = scores.softmax(-1, dtype=torch.float32)
    weights = nn.functional.dropout(weights, told.get("dropout", 0.0)).to(v.dtype)
    return (weights @ v.reshape(shape)).view(q.shape).transpose(1, 2)


@lru_cache(maxsize=64)
def _causal(size: int, heads: int) -> Tensor:
    """What hides later positions from `heads` query heads, [1, heads * size, size] bf16."""
    later = torch.full((size, size), -torch.inf, dtype=torch.bfloat16).triu(1)
    return later.repeat(heads, 1).unsqueeze(0)


def _hidden(mask: Tensor, people: int, heads: int, groups: int) -> Tensor:
    """What a mask, bool or to be added, adds to scores: [B * G, H * n, n] bf16; once for all layers."""
    found = _HIDDEN.get(mask)
    if found is None:
        added = mask
        if mask.dtype == torch.bool:  # not -inf: a padded query may see nothing
            lowest = torch.finfo(torch.bfloat16).min
            added = torch.zeros(mask.shape, dtype=torch.bfloat16).masked_fill(~mask, lowest)
        every = added.to(torch.bfloat16).expand(people, heads, -1, -1)
        found = _HIDDEN[mask] = every.reshape(people * groups, -1, mask.shape[-1])
    return found


_HIDDEN: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
"""Of masks that are in use; a layer's mask is every layer's, and goes when the pass does."""


def _branches(
    query: Tensor, key: Tensor, value: Tensor, shared: slice, own: Branches, told: Mapping[str, Any]
) -> Tensor:
    """Branches attend to the shared part and, each, to themselves: [1, m, A, D]."""
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (n, A, D), (n, G, D)
    (groups, size), heads, width = own.at.shape, k.shape[1], k.shape[2]
    scale = told.get("scaling") or width**-0.5
    # The H query heads of a key head are rows of its products.
    asked = _by_head(own.take(q).reshape(groups * size, heads, -1, width), torch.float32)  # (G, N * T, H, D)
    rows = asked.flatten(1, 2) * scale
    to_shared = rows @ k[shared].permute(1, 2, 0).float()  # (G, N * T * H, P)
    own_keys = _by_head(own.take(k), torch.float32).view(heads * groups, size, width)
    to_own = rows.view(heads * groups, -1, width) @ own_keys.transpose(1, 2)  # (G * N, T * H, T)
    to_own = to_own.view(heads, groups, size, -1, size) + own.seen
    scores = torch.cat([to_shared, to_own.view(heads, -1, size)], -1)
    weights = nn.functional.dropout(scores.softmax(-1), told.get("dropout", 0.0))
    before = to_shared.shape[-1]
    of_shared, of_own = weights[..., :before].to(v.dtype), weights[..., before:].to(v.dtype)
    answer = torch.baddbmm(
        (of_shared @ _by_head(v[shared], v.dtype)).view(heads * groups, -1, width),
        of_own.reshape(heads * groups, -1, size),
        _by_head(own.take(v), v.dtype).view(heads * groups, size, width),
    )
    answer = answer.view(heads, groups * size, -1, width).transpose(0, 1).flatten(1, 2)  # (N * T, A, D)
    return (answer if own.back is None else answer.index_select(0, own.back)).unsqueeze(0)


def _by_head(x: Tensor, dtype: torch.dtype) -> Tensor:
    """[positions, G, ...] -> [G, positions, ...], contiguous, in one copy."""
    # `to` alone leaves the order as it is where the dtype is the same already.
    return x.transpose(0, 1).to(dtype, memory_format=torch.contiguous_format).contiguous()


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
