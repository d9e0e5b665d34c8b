"""Baselines as rows of a table: fitted when they are first asked, at their best on validation users."""

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256

import numpy as np

from core.assembly import bare_model
from core.collaborative import Stack
from core.encoder import SASRec
from core.evaluation.baselines import Baseline, Popularity
from core.evaluation.baselines import pick as pick_of
from core.evaluation.encoder_baseline import SASRecBaseline
from core.evaluation.evaluating import Step
from core.evaluation.methods import Answers, Identity, pick
from core.evaluation.questions import Questions
from core.evaluation.run_identity import encoder_identity, fits, stack_identity, title_identity
from core.evaluation.stacking import stack_of
from core.evaluation.title_baseline import TitleLikelihood
from core.evaluation.tuning import Trial, tune_ease, tune_item_knn
from core.prompt import Wording
from core.ranker import Ranker
from core.routing import HISTORY_AT_TEST, Floats, History, Indices
from core.training.finished import FinishedRun
from core.training.run import open_backbone

Fit = Callable[[Questions], tuple[Baseline, str]]
"""Questions -> a fitted baseline, and what a reader of its row must know."""


class Baselines:
    """Popularity, item-kNN and EASE: they need no encoder and no language model."""

    reads_titles = False

    def __init__(self) -> None:
        self._fits: dict[str, Fit] = {"Popularity": _popularity, "ItemKNN": _item_knn, "EASE": _ease}

    @property
    def identities(self) -> Sequence[Identity]:
        return [
            Identity(label, "baseline", recipe=sha256(label.encode()).hexdigest()) for label in self._fits
        ]

    def open(self, questions: Questions, step: Step) -> Sequence["BaselineMethod"]:
        fits = self._fits.values()
        return [BaselineMethod(name, questions, fit) for name, fit in zip(self.identities, fits, strict=True)]


class EncoderSource:
    """SASRec: the encoder of a run, ranking by itself; and the stack over it."""

    reads_titles = False

    def __init__(self, run: FinishedRun) -> None:
        self.run = run

    @property
    def identities(self) -> Sequence[Identity]:
        return [encoder_identity(self.run), stack_identity(self.run)]

    def open(self, questions: Questions, step: Step) -> Sequence["BaselineMethod"]:
        fits(self.run, questions)
        encoder = self.run.prepared.encoder
        alone, stacked = self.identities
        return [
            BaselineMethod(alone, questions, lambda _: (SASRecBaseline.of(encoder), "")),
            BaselineMethod(stacked, questions, lambda asked: _stacked(asked, encoder)),
        ]


class TitleSource:
    """The untrained backbone of a run, by the likelihood of each candidate's title after the history."""

    reads_titles = True

    def __init__(self, run: FinishedRun) -> None:
        self.run = run

    @property
    def identities(self) -> Sequence[Identity]:
        return [title_identity(self.run)]

    def open(self, questions: Questions, step: Step) -> Sequence["BaselineMethod"]:
        fits(self.run, questions)
        recipe = self.run.recipe
        backbone = open_backbone(recipe, step=step)
        wording = Wording.of(backbone.tokenizer, questions.dataset.catalog, questions.dataset.domain)
        prior = self.run.prepared.title_prior
        ranker = Ranker(bare_model(backbone), wording, recipe.rows.history_length, prior)
        note = "not trained; ranks candidates only"
        return [
            BaselineMethod(
                self.identities[0], questions, lambda _: (TitleLikelihood(ranker), note), ranks_all=False
            )
        ]


class BaselineMethod:
    """One baseline.

    Args:
        fit: called at the first question, so that a file which is complete costs nothing.
        ranks_all: whether it can rank the whole catalogue.
    """

    def __init__(self, identity: Identity, questions: Questions, fit: Fit, ranks_all: bool = True) -> None:
        self.identity, self.questions, self._fit, self.ranks_all = identity, questions, fit, ranks_all

    @cached_property
    def _fitted(self) -> tuple[Baseline, str]:
        return self._fit(self.questions)

    @property
    def note(self) -> str:
        return self._fitted[1]

    def answer(self, rows: Indices) -> Answers:
        baseline, histories = self._fitted[0], self.questions.histories(rows, HISTORY_AT_TEST)
        tables = self.questions.candidates(rows)
        if not self.ranks_all:
            # One pass over all tables' candidates: the history is read once.
            widths = np.cumsum([table.shape[1] for table in tables])[:-1]
            together = baseline.score(histories, np.concatenate(tables, axis=1))
            return Answers(None, tuple(np.split(together, widths, axis=1)))
        scores = baseline.score(histories)
        return Answers(scores, pick(scores, tables))


def _popularity(questions: Questions) -> tuple[Baseline, str]:
    return Popularity().fit(questions.split.train, questions.dataset.num_items), ""


def _item_knn(questions: Questions) -> tuple[Baseline, str]:
    tuned = tune_item_knn(questions.split, questions.dataset.num_items)
    return tuned.baseline, _chosen(tuned.chosen, questions)


def _ease(questions: Questions) -> tuple[Baseline, str]:
    tuned = tune_ease(questions.split, questions.dataset.num_items)
    return tuned.baseline, _chosen(tuned.chosen, questions)


class StackBaseline:
    """The stack as a baseline: fitted already, with its encoder."""

    def __init__(self, encoder: SASRec, stack: Stack | None) -> None:
        self.encoder, self.stack = SASRecBaseline.of(encoder), stack

    def fit(self, train: Sequence[History], num_items: int) -> "StackBaseline":
        """Nothing is left to fit; self."""
        return self

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) -> [B, N] float32, or [B, C] for candidates [B, C] int64."""
        told = self.encoder.score(histories)
        return pick_of(told if self.stack is None else self.stack.scores(histories, told), candidates)


def _stacked(questions: Questions, encoder: SASRec) -> tuple[Baseline, str]:
    stack = stack_of(questions.dataset, questions.split, encoder)
    return StackBaseline(encoder, stack), _weights_in_words(stack, questions)


def _weights_in_words(stack: Stack | None, questions: Questions) -> str:
    if stack is None:
        return "SASRec alone: too many items for the others"
    each = ", ".join(
        f"{name} {weight:.3g}" for name, weight in {"SASRec": stack.encoder, **stack.weights}.items()
    )
    return f"weights: {each}; fitted on {len(questions.split.validation)} validation users"


def _chosen(trial: Trial, questions: Questions) -> str:
    return f"{trial.settings}, chosen on {len(questions.split.validation)} validation users"
