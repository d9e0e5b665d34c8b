"""Real people to rank for: the last ten items of `loo` test users, and twenty candidates each."""

from dataclasses import dataclass, replace

from core.data.candidates import draw_candidates
from core.data.dataset import Dataset
from core.prompt import Wording
from core.routing import Indices

LENGTH = 10


@dataclass(frozen=True)
class People:
    """U people with histories of ten.

    Attributes:
        histories: U histories of `LENGTH` catalogue indices, oldest first.
        candidates: [U, 20] int64, the evaluation's own: the target among 19 drawn at random.
        targets: U catalogue indices.
        wording: of their catalogue.
    """

    histories: tuple[tuple[int, ...], ...]
    candidates: Indices
    targets: tuple[int, ...]
    wording: Wording

    def first(self, count: int) -> "People":
        return replace(
            self,
            histories=self.histories[:count],
            candidates=self.candidates[:count],
            targets=self.targets[:count],
        )


def people(dataset: Dataset, wording: Wording) -> People:
    """Test users of a data set, in its order."""
    cases = [case for case in dataset.split("loo").test if len(case.history) >= LENGTH]
    return People(
        tuple(case.history[-LENGTH:] for case in cases),
        draw_candidates(dataset, cases),
        tuple(case.target for case in cases),
        wording,
    )
