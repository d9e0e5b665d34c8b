"""A finished run as a scorer of any cases, opened when it is first asked: what studies ask."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from core.data.dataset import Case, Dataset
from core.encoder import TorchRouter
from core.errors import RunError
from core.evaluation.asking import ask, route_cases
from core.evaluation.blending import log_softmax
from core.evaluation.evaluating import Step
from core.evaluation.run_identity import METHODS
from core.gate_reading import gate_reading
from core.ranker import Ranker
from core.routing import Floats
from core.training.finished import FinishedRun, open_ranker
from core.training.run import open_backbone


class AskedRun:
    """n cases -> scores of the whole catalogue [n, N], by a run of catalogue mode.

    A run that learned beside an encoder (`model.residual`) is asked beside its own.

    Raises:
        RunError: the run is of another mode.
    """

    def __init__(self, run: FinishedRun, dataset: Dataset, step: Step) -> None:
        if run.recipe.mode != "catalogue":
            raise RunError(
                f"{run.folder} is of {run.recipe.mode} mode: this study asks runs of catalogue mode."
            )
        self.run, self.dataset, self.step = run, dataset, step
        self.label = METHODS[run.recipe.label]

    @cached_property
    def _opened(self) -> tuple[Ranker, TorchRouter]:
        return open_ranker(self.run, open_backbone(self.run.recipe, step=self.step), self.dataset)

    def __call__(self, cases: Sequence[Case]) -> Floats:
        (ranker, router), recipe, prepared = self._opened, self.run.recipe, self.run.prepared
        routing = route_cases(router, cases)
        split = self.dataset.split(recipe.split)
        reading = gate_reading(recipe, prepared.encoder, split, prepared.features.text)
        users, histories = [case.user for case in cases], [case.history for case in cases]
        gate = reading.mixtures(router.gate, routing, users, histories)

        def progress(done: int, total: int) -> None:
            self.step(f"Asking {self.label}", done, total)

        scores = ask(ranker, routing, cases, recipe.method, gate=gate, progress=progress)
        if recipe.model.residual:
            scores = log_softmax(scores) + np.float32(recipe.model.residual) * log_softmax(routing.scores)
        return scores
