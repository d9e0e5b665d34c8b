"""Trained runs as rows of a table, each with its blend.

Shapes: n rows asked at once, N catalogue items, C candidates, D encoder width, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from core.collaborative import Stack
from core.encoder import TorchRouter
from core.evaluation.asking import full_ranks
from core.evaluation.blending import BLEND_WEIGHTS, blend, choose_blend_weight
from core.evaluation.buckets import CLUSTERS, Labels, UserClusters
from core.evaluation.evaluating import Step, asked_rows
from core.evaluation.methods import Answers, Identity, Method, only, pick
from core.evaluation.metrics import best_lists, ndcg_at
from core.evaluation.questions import Questions
from core.evaluation.run_identity import SASREC, STACK, blend_identity, blends, fits, run_identity
from core.evaluation.run_on_cases import RunOnCases
from core.evaluation.stacking import stack_of
from core.ranker import Ranker
from core.routing import HISTORY_AT_TEST, Floats, Indices
from core.training.finished import FinishedRun, open_ranker
from core.training.run import open_backbone

CLUSTER_SEED = 8
_IN_NOTES = {SASREC: SASREC, STACK: "the stack"}
POOL = 20
"""Items that a second stage orders anew, as `core.recommender` does."""
CHOOSING = 100
"""Validation users who choose how much of the encoder is blended into a second stage."""


class RunSource:
    """The rows of one finished run: itself, and where it ranks, its blend with its own encoder."""

    def __init__(self, run: FinishedRun) -> None:
        self.run = run

    @property
    def reads_titles(self) -> bool:
        return self.run.recipe.mode != "catalogue"

    @property
    def identities(self) -> Sequence[Identity]:
        own = run_identity(self.run)
        return [own, *self._beside(own)]

    def _beside(self, own: Identity) -> list[Identity]:
        """The blends of a run that has some."""
        if not blends(own):
            return []
        # A second stage orders what the first found: one blend is enough to judge it by.
        return [blend_identity(own, beside) for beside in _beside_of(self.run)]

    def open(self, questions: Questions, step: Step) -> Sequence[Method]:
        fits(self.run, questions)
        recipe = self.run.recipe
        backbone = open_backbone(recipe, step=step)
        ranker, router = open_ranker(self.run, backbone, questions.dataset)
        asked = AskedRun(self.run, ranker, router, questions, step)
        own = run_identity(self.run)
        if recipe.mode == "generate":
            return [GenerateMethod(own, asked)]
        beside = self._beside(own)
        if recipe.mode == "branch":
            return [BranchMethod(own, asked), *(BranchBlend(one, asked) for one in beside)]
        return [CatalogueMethod(own, asked), *(BlendMethod(one, asked) for one in beside)]


def _beside_of(run: FinishedRun) -> tuple[str, ...]:
    return (SASREC,) if run.recipe.mode == "branch" else (SASREC, STACK)


class AskedRun:
    """A run on one set of questions: what was just asked is kept, as its blends ask for it again."""

    def __init__(
        self, run: FinishedRun, ranker: Ranker, router: TorchRouter, questions: Questions, step: Step
    ) -> None:
        self.run, self.ranker, self.router, self.questions, self.step = run, ranker, router, questions, step
        self._cases = RunOnCases(run, ranker, router, questions.split, questions.cases)
        self.routing = self._cases.routing
        self.clusters = user_clusters(self.routing.sequence)
        self._last: tuple[bytes, Floats] | None = None
        self._second: tuple[bytes, SecondStage] | None = None

    def mixtures(self, rows: Indices) -> Floats | None:
        """Mixtures of the cases at `rows`, [n, K]: the mean over layers; None without experts."""
        if self._cases.gate is None:
            return None
        gate = self._cases.gate[rows]
        return gate.mean(1) if gate.ndim == 3 else gate

    def answers(self, rows: Indices, scores: Floats | None, tables: tuple[Floats, ...]) -> Answers:
        """Scores with what is known of the same cases besides."""
        clusters = None if self.clusters is None else [self.clusters[row] for row in rows]
        return Answers(scores, tables, self.mixtures(rows), clusters)

    def catalogue(self, rows: Indices) -> Floats:
        """Scores of the whole catalogue, [n, N]; the last ones are kept."""
        key = rows.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._cases.catalogue(rows)
        return self._last[1]

    def branch(self, rows: Indices, candidates: Indices) -> Floats:
        """Scores of candidates [n, C], read one by one: [n, C]."""
        return self._cases.branch(rows, candidates)

    def second_stage(self, rows: Indices) -> "SecondStage":
        """All that a second stage is asked about the cases at `rows`, in one pass; the last ones are kept."""
        key = rows.tobytes()
        if self._second is None or self._second[0] != key:
            tables, first = self.questions.candidates(rows), self.catalogue(rows)
            pool = best_lists(first, [self.questions.cases[row] for row in rows], POOL)
            parts = (*tables, pool)
            scores = self.branch(rows, np.concatenate(parts, axis=1))
            *among, of_pool = np.split(scores, np.cumsum([p.shape[1] for p in parts])[:-1], axis=1)
            self._second = key, SecondStage(tuple(among), first, pool, of_pool)
        return self._second[1]

    def named(self, rows: Indices, candidates: Indices) -> Indices:
        """The column of the candidate that is named in generate mode, -1 for none of them: [n] int64."""
        return self._cases.named(rows, candidates)


class CatalogueMethod:
    """LoRA, iLoRA or a control, asked in catalogue mode."""

    note = ""

    def __init__(self, identity: Identity, asked: AskedRun) -> None:
        self.identity, self.asked = identity, asked

    def answer(self, rows: Indices) -> Answers:
        scores = self.asked.catalogue(rows)
        return self.asked.answers(rows, scores, pick(scores, self.asked.questions.candidates(rows)))


class BlendMethod:
    """A run's scores with its encoder's or the stack's blended in; validation users chose the weight."""

    def __init__(self, identity: Identity, asked: AskedRun) -> None:
        self.identity, self.asked = identity, asked
        self.beside = STACK if identity.label.endswith(STACK) else SASREC

    @cached_property
    def _stack(self) -> Stack | None:
        if self.beside != STACK:
            return None
        questions = self.asked.questions
        return stack_of(questions.dataset, questions.split, self.asked.router.encoder)

    def _others(self, asked: AskedRun, rows: Indices) -> Floats:
        """What is blended in, [n, N], for cases of the questions of `asked`."""
        encoder = asked.routing.scores[rows]
        if self._stack is None:
            return encoder
        return self._stack.scores(asked.questions.histories(rows, HISTORY_AT_TEST), encoder)

    @cached_property
    def _weight(self) -> float:
        asked = self.asked
        questions = replace(asked.questions, part="validation", tables=())
        validation = AskedRun(asked.run, asked.ranker, asked.router, questions, asked.step)
        rows, parts = np.arange(len(questions.cases)), []
        for start in range(0, len(rows), 128):
            parts.append(validation.catalogue(rows[start : start + 128]))
            asked.step(
                f"Choosing the weight of {self.identity.label} on {questions.name}",
                min(start + 128, len(rows)),
                len(rows),
            )
        others = self._others(validation, rows)
        return choose_blend_weight(np.concatenate(parts), others, questions.cases).weight

    @property
    def note(self) -> str:
        n = len(self.asked.questions.split.validation)
        return f"weight of {_IN_NOTES[self.beside]} {self._weight:g}, chosen on {n} validation users"

    def answer(self, rows: Indices) -> Answers:
        scores = blend(self.asked.catalogue(rows), self._others(self.asked, rows), self._weight)
        return self.asked.answers(rows, scores, pick(scores, self.asked.questions.candidates(rows)))


@dataclass(frozen=True)
class SecondStage:
    """What a second stage says to n cases.

    Attributes:
        tables: [n, C] scores of each table's candidates.
        first: [n, N] the first stage's scores.
        pool: [n, P] its best items that were not seen.
        of_pool: [n, P] their scores by the second stage.
    """

    tables: tuple[Floats, ...]
    first: Floats
    pool: Indices
    of_pool: Floats


class BranchMethod:
    """A second stage: candidates are read one by one; so are the catalogue's best in the full ranking."""

    note = f"full ranking: first stage, its best {POOL} read one by one"

    def __init__(self, identity: Identity, asked: AskedRun) -> None:
        self.identity, self.asked = identity, asked

    def answer(self, rows: Indices) -> Answers:
        said = self.asked.second_stage(rows)
        return self.asked.answers(rows, reordered(said.first, said.pool, said.of_pool), said.tables)


class BranchBlend:
    """A second stage with the encoder's scores blended in, by a weight that validation users chose.

    Among candidates and among the catalogue's best alike: both opinions are taken on the same short list.
    """

    def __init__(self, identity: Identity, asked: AskedRun) -> None:
        self.identity, self.asked = identity, asked

    @cached_property
    def _weight(self) -> float:
        asked = self.asked
        questions = replace(asked.questions, part="validation", tables=())
        validation = AskedRun(asked.run, asked.ranker, asked.router, questions, asked.step)
        rows = self._rows()
        said = validation.second_stage(rows)
        encoder = validation.routing.scores[rows]
        cases = [questions.cases[row] for row in rows]

        def gained(weight: float) -> float:
            order = reordered(said.first, said.pool, _with_encoder(said.of_pool, encoder, said.pool, weight))
            return ndcg_at(full_ranks(order, cases), 10)

        return max(BLEND_WEIGHTS, key=lambda weight: (gained(weight), -weight))

    def _rows(self) -> Indices:
        return asked_rows(len(self.asked.questions.split.validation), sample=CHOOSING)

    @property
    def note(self) -> str:
        return (
            f"weight of SASRec {self._weight:g}, chosen on {len(self._rows())} validation users; "
            f"{BranchMethod.note}"
        )

    def answer(self, rows: Indices) -> Answers:
        asked, said = self.asked, self.asked.second_stage(rows)
        encoder = asked.routing.scores[rows]
        tables = tuple(
            _with_encoder(scores, encoder, table, self._weight)
            for scores, table in zip(said.tables, asked.questions.candidates(rows), strict=True)
        )
        of_pool = _with_encoder(said.of_pool, encoder, said.pool, self._weight)
        return asked.answers(rows, reordered(said.first, said.pool, of_pool), tables)


def _with_encoder(scores: Floats, encoder: Floats, items: Indices, weight: float) -> Floats:
    """scores [n, C] of items [n, C], blended with the encoder's [n, N] of the same items."""
    return blend(scores, np.take_along_axis(encoder, items, axis=1), weight)


class GenerateMethod:
    """The papers' way: candidates are listed, one is named word by word; an answer may be none of them."""

    note = "names one candidate, ranks nothing"

    def __init__(self, identity: Identity, asked: AskedRun) -> None:
        self.identity, self.asked = identity, asked

    def answer(self, rows: Indices) -> Answers:
        tables = self.asked.questions.candidates(rows)
        return self.asked.answers(
            rows, None, tuple(only(self.asked.named(rows, table), table.shape[1]) for table in tables)
        )


def user_clusters(sequence: Floats) -> Labels | None:
    """Groups of the cases' users in encoder space, [n, D] -> n labels; None for too few to be grouped.

    Runs that share an encoder share the groups: nothing of the run itself goes in.
    """
    if len(sequence) < CLUSTERS:
        return None
    return UserClusters.fit(sequence, CLUSTER_SEED).labels(sequence)


def reordered(first: Floats, pool: Indices, scores: Floats) -> Floats:
    """Scores of the catalogue [n, N] in which the items of `pool` [n, P] come first, by `scores` [n, P]."""
    lowest = (
        np.where(np.isfinite(first), first, -np.inf).max(1, keepdims=True) + 1
    )  # above all of the first stage
    both = first.copy()
    np.put_along_axis(both, pool, lowest + scores - scores.min(1, keepdims=True), axis=1)
    return both
