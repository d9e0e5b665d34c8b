"""A finished run as a scorer of any cases, opened when it is first asked: what studies ask."""

from collections.abc import Sequence
from functools import cached_property

from core.data.dataset import Case, Dataset
from core.encoder import TorchRouter
from core.errors import RunError
from core.evaluation.evaluating import Step
from core.evaluation.run_identity import METHODS
from core.evaluation.run_on_cases import RunOnCases
from core.ranker import Ranker
from core.routing import Floats
from core.training.finished import FinishedRun, open_ranker
from core.training.run import open_backbone


class AskedRun:
    """n cases -> scores of the whole catalogue [n, N], by a run of catalogue mode.

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
        ranker, router = self._opened

        def progress(done: int, total: int) -> None:
            self.step(f"Asking {self.label}", done, total)

        split = self.dataset.split(self.run.recipe.split)
        return RunOnCases(self.run, ranker, router, split, cases).catalogue(progress=progress)
