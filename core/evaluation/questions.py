"""The questions of one part of a split, fixed once for every method: cases, candidates and buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.data.candidate_files import Part, candidate_file
from core.data.candidates import CandidateTable, Kind, training_counts
from core.data.dataset import Case, Dataset, Split
from core.errors import DataError
from core.evaluation.buckets import Counts, Labels, history_lengths, target_popularity, user_density
from core.routing import History, Indices


@dataclass(frozen=True)
class Questions:
    """What every method is asked.

    Attributes:
        dataset: where they come from.
        split: `loo` or `paper`.
        part: `test` reports, `validation` chooses.
        tables: candidates of every case, one table per kind and draw, [n, C] each.
    """

    dataset: Dataset
    split: Split
    part: Part
    tables: tuple[CandidateTable, ...]

    @property
    def name(self) -> str:
        """For folders and people: movielens-loo-test."""
        return f"{self.dataset.name}-{self.split.name}-{self.part}"

    @property
    def cases(self) -> tuple[Case, ...]:
        """n of them."""
        return self.split.validation if self.part == "validation" else self.split.test

    @cached_property
    def users(self) -> tuple[str, ...]:
        """External ids of the cases' users, n."""
        return tuple(self.dataset.users[case.user] for case in self.cases)

    @cached_property
    def training_counts(self) -> Counts:
        """Interactions of every item in training, [N] int64."""
        return training_counts(self.split, self.dataset.num_items)

    @cached_property
    def history_buckets(self) -> Labels:
        """How much is read of each case's history, n labels."""
        return history_lengths(self.cases)

    @cached_property
    def popularity_deciles(self) -> Labels:
        """How popular each case's target is in training, n labels."""
        return target_popularity(self.cases, self.training_counts)

    @cached_property
    def densities(self) -> Labels:
        """How much is known of each case's user, n labels."""
        return user_density(self.cases)

    def histories(self, rows: Indices, length: int) -> list[History]:
        """The last `length` items before the target, of the cases at `rows`."""
        return [self.cases[row].history[-length:] for row in rows]

    def candidates(self, rows: Indices) -> tuple[Indices, ...]:
        """The candidates of the cases at `rows`, [len(rows), C] per table."""
        return tuple(table.table[rows] for table in self.tables)


def open_questions(
    dataset: Dataset, split: str, part: Part = "test", drawn: Sequence[tuple[Kind, int]] = (("uniform", 0),)
) -> Questions:
    """The questions of one part; candidate files are drawn on first use.

    Args:
        drawn: kind and draw of every candidate table.

    Raises:
        DataError: no such split, no case in that part, or a user who asks twice in it.
    """
    found = dataset.split(split)
    tables = tuple(candidate_file(dataset, split, part, kind, draw)[0] for kind, draw in drawn)
    questions = Questions(dataset, found, part, tables)
    if not questions.cases:
        raise DataError(f'Split "{split}" of {dataset.name} has no {part} users: nobody can be asked.')
    # Results are kept by user: a second case of one would silently take the first one's place.
    if len(set(questions.users)) != len(questions.users):
        raise DataError(
            f'Split "{split}" of {dataset.name} asks a {part} user twice; one case each is needed.'
        )
    return questions


def popularity_ranks(questions: Questions) -> Indices:
    """Rank of every item by its interactions in training: [N] int64, 1 is the most popular; ties by index."""
    counts = questions.training_counts
    ranks = np.empty(len(counts), dtype=np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(1, len(counts) + 1)
    return ranks
