"""Training rows: which piece of whose sequence, drawn anew for every row, the same for every method.

Row i depends on (seed, i) only, so a resumed run reads what the unbroken one would have read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from core.data.dataset import Split
from core.encoder import pad_histories
from core.errors import RecipeError
from core.packing import Packed, pack_branches, pack_catalogue, pack_prompts
from core.prompt import Wording
from core.training.recipe import Recipe, RowsRecipe

IGNORED = -100
CURRICULUM = 1
"""Beside seed and row number: the stream that the curriculum draws from."""
Retrieve = Callable[[Sequence[Sequence[int]]], NDArray[np.int64]]
"""Histories -> [B, C] retrieved items, best first."""


@dataclass(frozen=True)
class Row:
    """One training example.

    Attributes:
        history: the items read, oldest first.
        seen_by_gate: what the gate reads: only items before the first supervised position (causality).
        targets: catalogue mode: what follows each prefix of `history` (length + 1 entries, IGNORED =
            unsupervised).
        candidates: branch mode: candidates, the target first; generate mode: in the order they are listed.
        user: whose row it is, an index into `Dataset.users`.
        read_of: whose items `seen_by_gate` are; None: the user's own.
        column: the target's place among the candidates.
        hybrid: generate mode: whether the prompt carries item tokens; None in the other modes.
    """

    history: tuple[int, ...]
    seen_by_gate: tuple[int, ...]
    targets: tuple[int, ...] = ()
    candidates: tuple[int, ...] = ()
    user: int = field(kw_only=True)
    read_of: int | None = None
    column: int = 0
    hybrid: bool | None = None


class _Rows(TorchDataset[Row]):
    """Draws users by the recipe's rule; subclasses cut a row out of the user's sequence.

    Args:
        gate_length: how many items before the first supervised position the gate reads at most (the encoder's
            limit).
    """

    def __init__(
        self, split: Split, recipe: RowsRecipe, count: int, seed: int, gate_length: int = 50
    ) -> None:
        drawn = [(u, s) for u, s in zip(split.train_users, split.train, strict=True) if len(s) >= 2]
        self.users, self.sequences = [user for user, _ in drawn], [sequence for _, sequence in drawn]
        self.recipe, self.count, self.seed, self.gate_length = recipe, count, seed, gate_length
        lengths = np.array([len(s) for s in self.sequences], dtype=np.float64)
        power = {"every_position": 1.0, "user_sqrt": 0.5, "user_uniform": 0.0, "late_positions": 0.0}[
            recipe.draw
        ]
        weights = lengths**power
        self._cumulative = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return self.count

    def _draw(self, index: int) -> tuple[np.random.Generator, int, tuple[int, ...], int]:
        """The row's generator, its user, his sequence, and the position of its last target."""
        generator = np.random.default_rng([self.seed, index])
        place = int(np.searchsorted(self._cumulative, generator.random(), side="right"))
        place = min(place, len(self.sequences) - 1)
        user, sequence = self.users[place], self.sequences[place]
        last = len(sequence) - 1
        if self.recipe.draw == "late_positions":
            first = max(1, last - self.recipe.late + 1)
        else:
            first = min(last, self.recipe.history_length)
        return generator, user, sequence, int(generator.integers(first, last + 1))


class CatalogueRows(_Rows):
    """Windows of at most history_length + 1 items; every position after the gate's prefix is supervised."""

    def __getitem__(self, index: int) -> Row:
        generator, user, sequence, end = self._draw(index)
        start = max(0, end - self.recipe.history_length)
        window = sequence[start : end + 1]
        prefix = int(generator.integers(0, min(self.recipe.gate_prefix, len(window) - 1) + 1))
        supervised_from = start + prefix
        length = int(generator.integers(min(prefix, self.gate_length), self.gate_length + 1))
        return Row(
            history=window[:-1],
            seen_by_gate=sequence[max(0, supervised_from - length) : supervised_from],
            targets=(*[IGNORED] * prefix, *window[prefix:]),
            user=user,
        )


class BranchRows(_Rows):
    """One target with negatives: some uniform, some retrieved by the encoder (harder, as when serving)."""

    def __init__(
        self,
        split: Split,
        recipe: RowsRecipe,
        count: int,
        seed: int,
        num_items: int,
        retrieve: Retrieve,
        gate_length: int = 50,
    ) -> None:
        super().__init__(split, recipe, count, seed, gate_length)
        self.num_items, self.retrieve = num_items, retrieve

    def __getitem__(self, index: int) -> Row:
        generator, user, sequence, end = self._draw(index)
        history, target = sequence[max(0, end - self.recipe.history_length) : end], sequence[end]
        seen_by_gate = sequence[max(0, end - self.gate_length) : end]
        seen = set(sequence)  # training items only: what comes later in the split is not known here
        hard = [int(i) for i in self.retrieve([seen_by_gate])[0] if int(i) not in seen]
        wanted = self.recipe.candidates - 1
        chosen = hard[: 4 * wanted]
        generator.shuffle(chosen)
        negatives = chosen[: round(wanted * self.recipe.retrieved_share)]
        taken = seen | set(negatives)
        while len(negatives) < wanted:
            item = int(generator.integers(self.num_items))
            if item not in taken:
                negatives.append(item)
                taken.add(item)
        return Row(history, seen_by_gate, candidates=(target, *negatives), user=user)


class GenerateRows(_Rows):
    """One target among uniform negatives the user never touched in training, shuffled (the papers' task).

    History and target of row i are those that branch mode draws from the same seed.
    """

    def __init__(
        self,
        split: Split,
        recipe: RowsRecipe,
        count: int,
        seed: int,
        num_items: int,
        gate_length: int = 50,
    ) -> None:
        super().__init__(split, recipe, count, seed, gate_length)
        self.num_items = num_items

    def hybrid_share(self, index: int) -> float:
        """The chance that row `index` carries item tokens: rises by the row's number, so over the whole run
        and, in a resumed run, from where it had come to."""
        rising = self.recipe.curriculum * self.count
        return 1.0 if index >= rising else index / rising

    def __getitem__(self, index: int) -> Row:
        generator, user, sequence, end = self._draw(index)
        unseen = np.setdiff1d(np.arange(self.num_items), sequence)  # in training
        candidates = generator.choice(unseen, self.recipe.candidates - 1, replace=False).tolist()
        column = int(generator.integers(self.recipe.candidates))
        candidates.insert(column, sequence[end])
        # From a stream of its own: the curriculum changes how a row is told, never which row it is.
        chance = np.random.default_rng([self.seed, index, CURRICULUM]).random()
        return Row(
            history=sequence[max(0, end - self.recipe.history_length) : end],
            seen_by_gate=sequence[max(0, end - self.gate_length) : end],
            candidates=tuple(candidates),
            user=user,
            column=column,
            hybrid=bool(chance < self.hybrid_share(index)),
        )


def check_rows(recipe: Recipe, split: Split, num_items: int) -> None:
    """That a split has the rows that a recipe asks for; told before anything slow is done.

    The recipe alone cannot tell: where all histories are short, or the catalogue is large, any value will do.

    Raises:
        RecipeError: rows longer than the encoder reads, where it reads them whole; too few items.
    """
    trained = [sequence for sequence in split.train if len(sequence) >= 2]
    wanted, limit = recipe.rows.history_length, recipe.encoder.max_length
    longest = min(wanted, max((len(sequence) - 1 for sequence in trained), default=0))
    # Branch and generate rows, and gates that read no history, meet the encoder cut to its length.
    read_whole = recipe.mode == "catalogue" and (recipe.control is None or recipe.model.residual > 0)
    if read_whole and longest > limit:
        raise RecipeError(
            f"rows.history_length={wanted} gives rows of up to {longest} items, and the encoder, which reads "
            f"them whole in catalogue mode, ends at encoder.max_length={limit}: set "
            f"encoder.max_length={longest}, or rows.history_length={limit}."
        )
    most = max((len(set(sequence)) for sequence in trained), default=0)
    possible = num_items - most + 1  # the target, and what is not in the sequence
    if recipe.mode != "catalogue" and recipe.rows.candidates > possible:
        raise RecipeError(
            f"rows.candidates={recipe.rows.candidates} are too many: someone has {most} of the {num_items} "
            f"items, so {possible} candidates are possible at most: set rows.candidates={possible}, bring "
            "more items, or leave such users out."
        )


class Collator:
    """Rows -> one dictionary of tensors, packed as the ranker packs them."""

    def __init__(self, wording: Wording, num_items: int) -> None:
        self.wording, self.num_items = wording, num_items

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        histories = [row.history for row in rows]
        if rows[0].hybrid is not None:
            packed, batch = self._answers(rows)
        elif rows[0].candidates:
            candidates = [row.candidates for row in rows]
            w = self.wording
            packed = pack_branches(w.instruction, histories, w.question, candidates, w.titles)
            batch = {
                "candidates": torch.tensor(candidates),
                "targets": torch.zeros(len(rows), dtype=torch.int64),
            }
        else:
            packed = pack_catalogue(self.wording.instruction, histories)
            batch = {
                "targets": _right_aligned([row.targets for row in rows]),
                "history": pad_histories(histories, self.num_items, max(map(len, histories))),
            }
        seen = [row.seen_by_gate for row in rows]
        batch["gate_history"] = pad_histories(seen, self.num_items, max(map(len, seen)))
        batch["users"] = torch.tensor([row.user for row in rows])
        owners = [row.user if row.read_of is None else row.read_of for row in rows]
        batch["gate_users"] = torch.tensor(owners)
        return {**batch, **_fields(packed)}

    def _answers(self, rows: Sequence[Row]) -> tuple[Packed, dict[str, Tensor]]:
        """Generate mode: targets [B, T] are the answers' tokens, left-aligned; hybrid [B] bool."""
        targets, hybrid = [row.candidates[row.column] for row in rows], [bool(row.hybrid) for row in rows]
        packed = pack_prompts(
            self.wording, [row.history for row in rows], [row.candidates for row in rows], hybrid, targets
        )
        answers = [self.wording.answer(target) for target in targets]
        longest = max(map(len, answers))
        tokens = [[*answer, *[IGNORED] * (longest - len(answer))] for answer in answers]
        return packed, {"targets": torch.tensor(tokens), "hybrid": torch.tensor(hybrid)}


def _right_aligned(targets: Sequence[Sequence[int]]) -> Tensor:
    """[B, T] so that the last column is what follows each whole history."""
    longest = max(len(t) for t in targets)
    return torch.tensor([[*[IGNORED] * (longest - len(t)), *t] for t in targets])


def _fields(packed: Packed) -> dict[str, Tensor]:
    fields = {
        "words": packed.words,
        "items": packed.items,
        "positions": packed.positions,
        "history_end": packed.history_end,
        "prefix_end": packed.prefix_end,
        "branch_end": packed.branch_end,
    }
    return fields if packed.mask is None else {**fields, "mask": packed.mask}
