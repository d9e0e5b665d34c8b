"""The grid behind the evidence: every row that PROTOCOL names, on every data set and split, at one budget.

Runs of one data set and split share encoder, item features, recipe, seed, drawn rows and number of rows; what
differs between them is what the row's name says.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import RunError

PLACES: tuple[tuple[str, str], ...] = (
    ("movielens", "loo"),
    ("lastfm", "loo"),
    ("steam", "loo"),
    ("steam_reviews", "loo"),
    ("movielens", "paper"),
    ("lastfm", "paper"),
    ("steam", "paper"),
)
"""Data sets and splits, those that decide first."""
CONTROLS = ("static", "random", "shuffled")
RECIPE = "sixteen-experts"
"""Of every run in catalogue mode."""
MODES = ("catalogue", "branch", "generate")


@dataclass(frozen=True)
class Budget:
    """Optimizer steps per run and mode: the same for every method of a data set and split.

    The default takes catalogue and generate runs equally long, about six minutes on two cores with AVX2 only:
    the papers' way gets the same time, not the same number of rows. A second stage's head takes four more.

    Attributes:
        catalogue, branch, generate: steps of each mode.
        paper: steps in catalogue mode on the published splits, whose few users decide nothing.
    """

    catalogue: int = 100
    branch: int = 25
    generate: int = 12
    paper: int = 60

    def steps(self, mode: str, split: str) -> int:
        """Of one mode on one split."""
        catalogue = self.paper if split == "paper" else self.catalogue
        return {"catalogue": catalogue, "branch": self.branch, "generate": self.generate}[mode]


@dataclass(frozen=True)
class Planned:
    """One run of the grid.

    Attributes:
        name: its folder's name.
        dataset, split, mode: where it belongs.
        recipe: a recipe's name.
        method: lora or ilora.
        settings: laid over the recipe.
        start_from: name of the run it starts from, if any.
    """

    name: str
    dataset: str
    split: str
    mode: str
    recipe: str
    method: str
    settings: tuple[str, ...]
    start_from: str | None = None

    def resolved(self, runs: Path) -> tuple[str, ...]:
        """Settings with the folder of the run it starts from."""
        return (
            self.settings
            if self.start_from is None
            else (
                *self.settings,
                f"start_from={runs / self.start_from}",
            )
        )


def with_settings(planned: Iterable[Planned], settings: Sequence[str]) -> list[Planned]:
    """The same runs with more laid over their recipes, last: NAME=VALUE each."""
    return [replace(one, settings=(*one.settings, *settings)) for one in planned]


def planned_runs(
    dataset: str,
    split: str,
    seeds: Sequence[int],
    budget: Budget,
    modes: Sequence[str] = MODES,
    controls: bool = True,
) -> Iterator[Planned]:
    """The runs of one data set and split, in the order in which they can be trained.

    Args:
        controls: whether the gates that do not read a person's own history are trained too.

    Raises:
        RunError: an unknown mode, or branch without the catalogue runs it starts from.
    """
    if unknown := set(modes) - set(MODES):
        raise RunError(f"There is no mode {sorted(unknown)[0]}; there is: {', '.join(MODES)}.")
    if "branch" in modes and "catalogue" not in modes:
        raise RunError("branch runs start from catalogue runs: name both modes.")
    for seed in seeds:
        where = f"{dataset}-{split}"
        shared = (f"dataset={dataset}", f"split={split}", f"run.seed={seed}")
        for mode in (m for m in MODES if m in modes):
            settings = (*shared, *_length(budget.steps(mode, split)))
            yield from _of_mode(mode, where, dataset, split, seed, settings, controls)


def _of_mode(
    mode: str,
    where: str,
    dataset: str,
    split: str,
    seed: int,
    settings: tuple[str, ...],
    controls: bool,
) -> Iterator[Planned]:
    if mode == "catalogue":
        for method in ("lora", "ilora"):
            yield Planned(f"{where}-{method}-{seed}", dataset, split, mode, RECIPE, method, settings)
        for control in CONTROLS if controls else ():
            own = (*settings, f"adapter.gate_reads={control}")
            yield Planned(f"{where}-{control}-{seed}", dataset, split, mode, RECIPE, "ilora", own)
        return
    recipe = {"branch": f"{RECIPE}-head", "generate": "demo-cpu-generate"}[mode]
    for method in ("lora", "ilora"):
        start = f"{where}-{method}-{seed}" if mode == "branch" else None
        name = f"{where}-{method}-{mode}-{seed}"
        yield Planned(name, dataset, split, mode, recipe, method, settings, start)


def _length(steps: int) -> tuple[str, ...]:
    # Validated at the end only: at so few steps every run keeps its last weights or is still getting better.
    return (f"run.max_steps={steps}", f"run.evaluate_every={max(1, steps // 2)}", "run.save_every=25")
