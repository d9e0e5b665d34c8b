"""A finished run on some cases: the one place that knows what its gate reads and what is added to its scores.

Shapes: n cases, r of them asked at once, N catalogue items, C candidates, K experts.
"""

from collections.abc import Sequence

import numpy as np

from core.data.dataset import Case, Split
from core.encoder import TorchRouter
from core.evaluation.answering import generate_answers
from core.evaluation.asking import Progress, ask, ignore, route_cases
from core.evaluation.blending import beside_encoder
from core.gate_reading import gate_reading
from core.ranker import Mode, Ranker
from core.routing import Floats, Indices, Routing
from core.training.finished import FinishedRun


class RunOnCases:
    """A run's ranker and router on n cases.

    All cases are routed at once, however few of them are asked: a shuffled gate is another case's.

    Attributes:
        routing: of the n cases, by the run's own encoder.
        gate: [n, K] or [n, layers, K], what the run's gate says of what it reads; None without experts.
    """

    def __init__(
        self, run: FinishedRun, ranker: Ranker, router: TorchRouter, split: Split, cases: Sequence[Case]
    ) -> None:
        self.run, self.ranker, self.cases = run, ranker, cases
        self.routing = route_cases(router, cases)
        self.gate: Floats | None = None
        if router.gate is not None:
            prepared = run.prepared
            reading = gate_reading(run.recipe, prepared.encoder, split, prepared.features.text)
            users, histories = [case.user for case in cases], [case.history for case in cases]
            self.gate = reading.mixtures(router.gate, self.routing, users, histories)

    def catalogue(self, rows: Indices | None = None, progress: Progress = ignore) -> Floats:
        """Scores of the whole catalogue for the cases at `rows`, or for all: [r, N].

        A run that learned beside an encoder (`model.residual`) is asked beside its own.
        """
        rows = np.arange(len(self.cases)) if rows is None else rows
        scores = self._ask(rows, "catalogue", None, progress)
        return beside_encoder(scores, self.routing.scores[rows], self.run.recipe.model.residual)

    def branch(self, rows: Indices, candidates: Indices) -> Floats:
        """Scores of candidates [r, C], read one by one: [r, C]."""
        return self._ask(rows, "branch", candidates)

    def named(self, rows: Indices, candidates: Indices) -> Indices:
        """The column of the candidate that is named in generate mode, -1 for none of them: [r] int64."""
        answers = generate_answers(
            self.ranker,
            at(self.routing, rows),
            [self.cases[row] for row in rows],
            candidates,
            self.run.recipe.method,
            None if self.gate is None else self.gate[rows],
        )
        return answers.chosen

    def _ask(
        self, rows: Indices, mode: Mode, candidates: Indices | None, progress: Progress = ignore
    ) -> Floats:
        return ask(
            self.ranker,
            at(self.routing, rows),
            [self.cases[row] for row in rows],
            self.run.recipe.method,
            mode,
            candidates,
            None if self.gate is None else self.gate[rows],
            progress,
        )


def at(routing: Routing, rows: Indices) -> Routing:
    """The routing of some of its cases."""
    return Routing(routing.sequence[rows], routing.gate[rows], routing.scores[rows], routing.retrieved[rows])
