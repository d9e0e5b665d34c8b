"""From run folders to everything that is evaluated beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.candidate_files import Part
from core.data.candidates import Kind
from core.data.registry import load_dataset
from core.errors import RunError
from core.evaluation.baseline_methods import Baselines, EncoderSource, TitleSource
from core.evaluation.evaluating import Source, Step, evaluate
from core.evaluation.questions import Questions, open_questions, popularity_ranks
from core.evaluation.run_identity import encoder_identity, title_identity
from core.evaluation.run_methods import RunSource
from core.evaluation.summary import Row, group_draws, summarise
from core.training.finished import FinishedRun, read_finished

PAPER_DRAWS = 5
"""PROTOCOL: draws of uniform candidates per user on the small published splits; elsewhere one."""


def read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Open run folders of one data set and split.

    Raises:
        RunError: a folder holds no finished run, is named twice, or is of another data set or split.
    """
    runs = [read_finished(folder) for folder in folders]
    first = runs[0]
    for place, run in enumerate(runs[1:], start=1):
        one, other = first.recipe, run.recipe
        if (one.dataset, one.split) != (other.dataset, other.split):
            raise RunError(
                f"{first.folder} was trained on {one.dataset} {one.split}, {run.folder} on {other.dataset} "
                f"{other.split}: evaluate them in two calls."
            )
        if run.folder.resolve() in {earlier.folder.resolve() for earlier in runs[:place]}:
            raise RunError(f"{run.folder} is named twice: name every run once.")
    return runs


def sources_of(runs: Sequence[FinishedRun], baselines: bool = True) -> list[Source]:
    """Everything to evaluate, cheapest first: baselines, encoders, the untrained backbone, the runs."""
    if not baselines:
        return [RunSource(run) for run in runs]
    # Runs of one comparison share their encoder and their backbone: each has one row.
    encoders = {encoder_identity(run): EncoderSource(run) for run in reversed(runs)}
    backbones = {title_identity(run): TitleSource(run) for run in reversed(runs)}
    sources: list[Source] = [Baselines(), *reversed(encoders.values()), *reversed(backbones.values())]
    return [*sources, *(RunSource(run) for run in runs)]


@dataclass(frozen=True)
class Asked:
    """Which questions of a split are asked.

    Attributes:
        part: `test` reports, `validation` chooses.
        kinds: of candidates.
        draws: of candidates per kind; None is PROTOCOL's number.
        users: only the first so many; None is all.
        title_users: so many of those, drawn once, for the rows that read titles word by word; None is all.
        baselines: whether the rows that need no run of their own are asked too.
    """

    part: Part = "test"
    kinds: tuple[Kind, ...] = ("uniform",)
    draws: int | None = None
    users: int | None = None
    baselines: bool = True
    title_users: int | None = None

    def drawn(self, split: str) -> list[tuple[Kind, int]]:
        """Kind and draw of every candidate table, on a split."""
        usual: dict[Kind, int] = {"uniform": PAPER_DRAWS if split == "paper" else 1, "popularity": 1}
        return [(kind, draw) for kind in self.kinds for draw in range(self.draws or usual[kind])]


@dataclass(frozen=True)
class Evaluated:
    """What was asked and every row of the answer, one per method and kind of candidates."""

    questions: Questions
    rows: tuple[Row, ...]


def evaluate_runs(
    runs: Sequence[FinishedRun], asked: Asked, folder: Path, step: Step = lambda what, done, total: None
) -> Evaluated:
    """Evaluate runs of one data set and split, and the rows that belong beside them; see `evaluate`."""
    recipe = runs[0].recipe
    step("Loading the data set", 0, 0)
    dataset = load_dataset(recipe.dataset)
    questions = open_questions(dataset, recipe.split, asked.part, asked.drawn(recipe.split))
    ranks = popularity_ranks(questions)
    popularity = {item.item_id: int(ranks[item.index]) for item in dataset.catalog.items}
    results = [
        result
        for source in sources_of(runs, asked.baselines)
        for result in evaluate(
            questions,
            source,
            folder,
            asked.users,
            step,
            asked.title_users if source.reads_titles else None,
        )
    ]
    return Evaluated(questions, tuple(summarise(group, popularity) for group in group_draws(results)))
