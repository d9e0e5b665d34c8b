"""Histories and candidates into one packed batch of positions, for all ways of asking the backbone.

Every row is packed densely and padded on the right. Attention is causal, so padding is seen by nobody; where
candidates are branches (they share the history but must not see each other) a 4-D mask says so. A position
holds either a word (token id) or an item (catalogue index): two tables, one sequence.

Shapes: B batch, S packed positions, C candidates. All integers are int64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.prompt import Wording
from core.routing import History

NONE = -1


@dataclass(frozen=True)
class Packed:
    """B rows of S positions.

    Attributes:
        words: [B, S] token id, or -1 where the position holds an item or padding.
        items: [B, S] catalogue index, or -1.
        positions: [B, S] position ids; a branch continues from the end of its history.
        mask: [B, 1, S, S] bool, True = may be seen; None means plain causal attention.
        history_end: [B] index of the last history position (the instruction's end for an empty history).
        prefix_end: [B] index of the last position that every branch sees.
        branch_end: [B, C] index of each candidate's last position; [B, 0] in catalogue mode; in generate mode
            [B, 1] the answer's, or [B, 0] while it is unknown.
    """

    words: Tensor
    items: Tensor
    positions: Tensor
    mask: Tensor | None
    history_end: Tensor
    prefix_end: Tensor
    branch_end: Tensor

    def to(self, device: torch.device) -> "Packed":
        """The same rows on another device."""
        return Packed(
            words=self.words.to(device),
            items=self.items.to(device),
            positions=self.positions.to(device),
            mask=None if self.mask is None else self.mask.to(device),
            history_end=self.history_end.to(device),
            prefix_end=self.prefix_end.to(device),
            branch_end=self.branch_end.to(device),
        )


def pack_catalogue(instruction: Sequence[int], histories: Sequence[History]) -> Packed:
    """Catalogue mode: the instruction, then one position per item (S = instruction + longest history)."""
    rows = [_Row(instruction) for _ in histories]
    for row, history in zip(rows, histories, strict=True):
        row.add_items(history)
        row.history_end = len(row.words) - 1
    return _stack(rows, branched=False)


def pack_branches(
    instruction: Sequence[int],
    histories: Sequence[History],
    question: Sequence[int],
    candidates: Sequence[Sequence[int]],
    titles: Sequence[Sequence[int]],
    text_only: bool = False,
    separator: Sequence[int] = (),
) -> Packed:
    """Branch mode: history once, then every candidate as a branch (its title's tokens, then its item token).

    Args:
        instruction, question: token ids before the history and between history and candidates.
        histories: B histories of catalogue indices, oldest first.
        candidates: B lists of C catalogue indices.
        titles: token ids of every catalogue item's title.
        text_only: histories and candidates as titles alone, without item tokens: what an untrained backbone
            can read (title likelihood).
        separator: token ids after each title of a text history.
    """
    rows = [_Row(instruction) for _ in histories]
    for row, history, branch_items in zip(rows, histories, candidates, strict=True):
        if text_only:
            for item in history:
                row.add_words([*titles[item], *separator])
        else:
            row.add_items(history)
        row.history_end = len(row.words) - 1
        row.add_words(question)
        for item in branch_items:
            row.add_branch(titles[item], None if text_only else item)
    return _stack(rows, branched=True)


def pack_prompts(
    wording: Wording,
    histories: Sequence[History],
    candidates: Sequence[Sequence[int]],
    hybrid: Sequence[bool],
    answers: Sequence[int] | None = None,
) -> Packed:
    """Generate mode: history and candidates listed as titles, then the place of the answer.

    In a hybrid prompt an item's token stands behind its title (LLaRA, arXiv 2312.02445, section 3.2). Titles
    go in as the wording's ids, never as text that is tokenized again. `prefix_end` is the prompt's last
    position: its state foretells the answer's first token.

    Args:
        candidates: B lists of catalogue indices, in the order in which they are listed.
        hybrid: B flags; False leaves out the item tokens of a row.
        answers: B catalogue indices whose titles follow the prompts (training); None to have them generated.
    """
    rows = [_Row(wording.instruction) for _ in histories]
    for number, (row, history, listed) in enumerate(zip(rows, histories, candidates, strict=True)):
        for item in history:
            row.add_listed(wording, item, hybrid[number])
        row.history_end = len(row.words) - 1
        row.add_words(wording.choices)
        for item in listed:
            row.add_listed(wording, item, hybrid[number])
        row.add_words(wording.question)
        if answers is not None:
            row.add_branch(wording.titles[answers[number]], None)
    return _stack(rows, branched=False)  # an answer is its prompt's only branch: causal attention says it all


def apart(packs: Sequence[Packed]) -> Tensor:
    """The mask of people (B = 1 each) who share one row one after the other and see only themselves.

    Shapes: S positions of all together -> [1, 1, S, S] bool, True = may be seen.
    """
    own = [_causal(pack.words) if pack.mask is None else pack.mask[0, 0] for pack in packs]
    return torch.block_diag(*own).bool()[None, None]  # type: ignore[no-untyped-call]


def _causal(words: Tensor) -> Tensor:
    """words [B, S] -> [S, S] bool."""
    size = words.shape[1]
    return torch.ones(size, size, dtype=torch.bool, device=words.device).tril()


class _Row:
    """One row while it is written: the history (segment 0), then branches (segments 1..C)."""

    def __init__(self, instruction: Sequence[int]) -> None:
        self.words = list(instruction)
        self.items = [NONE] * len(self.words)
        self.positions = list(range(len(self.words)))
        self.segments = [0] * len(self.words)
        self.history_end = len(self.words) - 1
        self.branch_end: list[int] = []

    def add_items(self, items: Sequence[int]) -> None:
        self._extend([NONE] * len(items), list(items), segment=0, first=len(self.positions))

    def add_words(self, words: Sequence[int]) -> None:
        self._extend(list(words), [NONE] * len(words), segment=0, first=len(self.positions))

    def add_listed(self, wording: Wording, item: int, with_token: bool) -> None:
        self.add_words(wording.titles[item])
        if with_token:
            self.add_items([item])
        self.add_words(wording.separator)

    def add_branch(self, title: Sequence[int], item: int | None) -> None:
        words, items = list(title), [NONE] * len(title)
        if item is not None:
            words, items = [*words, NONE], [*items, item]
        prefix = self.segments.count(0)
        self._extend(words, items, segment=len(self.branch_end) + 1, first=prefix)
        self.branch_end.append(len(self.words) - 1)

    def _extend(self, words: list[int], items: list[int], segment: int, first: int) -> None:
        self.words += words
        self.items += items
        self.positions += range(first, first + len(words))
        self.segments += [segment] * len(words)


def _stack(rows: Sequence[_Row], branched: bool) -> Packed:
    size = max(len(r.words) for r in rows)

    def padded(name: str, fill: int) -> Tensor:
        return torch.tensor([[*getattr(r, name), *[fill] * (size - len(r.words))] for r in rows])

    segments = padded("segments", NONE)
    return Packed(
        words=padded("words", NONE),
        items=padded("items", NONE),
        positions=padded("positions", 0),
        mask=_branch_mask(segments) if branched else None,
        history_end=torch.tensor([r.history_end for r in rows]),
        prefix_end=torch.tensor([r.segments.count(0) - 1 for r in rows]),
        branch_end=torch.tensor([r.branch_end for r in rows], dtype=torch.int64).view(len(rows), -1),
    )


def _branch_mask(segments: Tensor) -> Tensor:
    """[B, S] segment of each position (0 history, c+1 branch c, -1 padding) -> [B, 1, S, S] bool."""
    seen, seer = segments.unsqueeze(1), segments.unsqueeze(2)  # (B, 1, S), (B, S, 1)
    visible = _causal(segments) & (
        (seen == 0) | (seen == seer)
    )  # (B, S, S); padding sees padding: no empty row, no NaN
    return visible.unsqueeze(1)
