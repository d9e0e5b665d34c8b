"""A small data set with 150 users, and a method whose answers are known, for what needs no language model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.catalog import Catalog, Item
from core.data.dataset import Dataset
from core.data.leave_one_out import leave_one_out
from core.evaluation.evaluating import Step, evaluate
from core.evaluation.methods import Answers, Identity, Method, only, pick
from core.evaluation.questions import Questions, open_questions
from core.evaluation.records import Results
from core.routing import Floats, Indices

USERS, ITEMS = 150, 60


def toy_dataset(seed: int = 0) -> Dataset:
    """Random sequences of 5 to 14 different items; every user is in `loo`."""
    generator = np.random.default_rng(seed)
    sequences = tuple(
        tuple(generator.permutation(ITEMS)[: generator.integers(5, 15)].tolist()) for _ in range(USERS)
    )
    return Dataset(
        name="toy",
        catalog=Catalog(Item(i, f"i{i}", f"Title {i}") for i in range(ITEMS)),
        users=tuple(f"u{number}" for number in range(USERS)),
        sequences=sequences,
        splits={"loo": leave_one_out(sequences)},
        terms="made up",
    )


def toy_questions(
    draws: int = 1, kinds: Sequence[str] = ("uniform",), dataset: Dataset | None = None
) -> Questions:
    drawn = [(kind, draw) for kind in kinds for draw in range(draws)]
    return open_questions(dataset or toy_dataset(), "loo", "test", drawn)  # type: ignore[arg-type]


class Scripted:
    """A method with scores of its own, which counts what it is asked."""

    note = "scripted"

    def __init__(
        self,
        questions: Questions,
        label: str = "iLoRA",
        seed: int | None = 1,
        scores: Floats | None = None,
        gates: Floats | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.identity = Identity(label, f"{label} {seed}", seed, "r" * 64, "w" * 64, 320, 1.5)
        self.questions, self.gates, self.stop_after = questions, gates, stop_after
        generator = np.random.default_rng(7)
        n = len(questions.cases)
        self.scores = scores if scores is not None else generator.normal(size=(n, ITEMS)).astype(np.float32)
        self.asked: list[Indices] = []

    @property
    def identities(self) -> Sequence[Identity]:
        return [self.identity]

    def open(self, questions: Questions, step: Step) -> Sequence[Method]:
        return [self]

    def answer(self, rows: Indices) -> Answers:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(rows)
        scores = self.scores[rows]
        return Answers(
            scores,
            pick(scores, self.questions.candidates(rows)),
            None if self.gates is None else self.gates[rows],
            [f"cluster {1 + row % 2}" for row in rows.tolist()],
        )


class Naming(Scripted):
    """Names the candidate in column 3; of every second case nobody."""

    note = ""

    def answer(self, rows: Indices) -> Answers:
        chosen = np.where(rows % 2 == 0, 3, -1)
        tables = self.questions.candidates(rows)
        return Answers(None, tuple(only(chosen, table.shape[1]) for table in tables))


def hitting(questions: Questions, hits: Callable[[int], bool]) -> Floats:
    """Scores that rank a case's target first where `hits(position)`, and last where not."""
    scores = np.zeros((len(questions.cases), ITEMS), dtype=np.float32)
    for position, case in enumerate(questions.cases):
        scores[position, case.target] = 1.0 if hits(position) else -1.0
    return scores


def results_of(
    questions: Questions,
    folder: Path,
    label: str,
    hits: Callable[[int], bool],
    seed: int | None = 1,
    gates: Floats | None = None,
    users: int | None = None,
) -> list[Results]:
    """Parquet files of a method that hits where it is told to."""
    method = Scripted(questions, label, seed, hitting(questions, hits), gates)
    return evaluate(questions, method, folder, users)


def other_data() -> Dataset:
    """The same users and items, with one user's last two items exchanged."""
    dataset = toy_dataset()
    first, *rest = dataset.sequences
    sequences = ((*first[:-2], first[-1], first[-2]), *rest)
    return replace(dataset, sequences=sequences, splits={"loo": leave_one_out(sequences)})
