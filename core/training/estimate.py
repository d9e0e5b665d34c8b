"""Does a recipe fit, and if not, what would: a smaller micro-batch, then checkpointing, then shorter rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.data.dataset import Split
from core.training.memory import Batch, CatalogueShape, largest_batch, memory_of
from core.training.recipe import Recipe
from quant.planner import Architecture, MemoryPlan, Place


@dataclass(frozen=True)
class Estimate:
    """A recipe on a device.

    Attributes:
        batch: the micro-batch it was computed for.
        plan: every part of its memory.
        limit: bytes that the device has; None when not known.
        settings: `--set` values that make it fit, or (where it fits) the largest micro-batch that still does;
            None when nothing tried fits.
        suggested: the plan under these settings.
    """

    batch: Batch
    plan: MemoryPlan
    limit: int | None
    settings: tuple[str, ...] | None
    suggested: MemoryPlan | None

    @property
    def fits(self) -> bool | None:
        """Whether the peak is within the limit; None without one."""
        return None if self.limit is None else self.plan.peak <= self.limit


def estimate(
    recipe: Recipe, model: Architecture, shape: CatalogueShape, place: Place, compute: int, limit: int | None
) -> Estimate:
    """The memory of a recipe, and what to set so that it fits into `limit` bytes, or fills them better.

    Args:
        compute: bytes of a number in the compute dtype, 2 or 4.
    """

    def peak_of(changed: Recipe) -> MemoryPlan:
        return memory_of(changed, model, shape, place, compute)

    batch, plan = largest_batch(recipe, shape), peak_of(recipe)
    if limit is None:
        return Estimate(batch, plan, None, None, None)
    settings, suggested = _largest_that_fits(recipe, place, peak_of, limit)
    return Estimate(batch, plan, limit, settings, suggested)


def _largest_that_fits(
    recipe: Recipe, place: Place, peak_of: Callable[[Recipe], MemoryPlan], limit: int
) -> tuple[tuple[str, ...] | None, MemoryPlan | None]:
    for base in _ever_smaller(recipe, place):
        for micro_batch in _micro_batches(recipe):
            changed = _with(base, "optimizer", micro_batch=micro_batch)
            if (plan := peak_of(changed)).peak <= limit:
                return _settings(recipe, changed), plan
    return None, None


def _ever_smaller(recipe: Recipe, place: Place) -> Iterator[Recipe]:
    """Recipes to try in order, each giving up a little more: time, then the optimizer's digits, length."""
    yield recipe
    if recipe.trained == "all":
        recipe = _with(recipe, "optimizer", gradient_checkpointing=True)
        yield recipe
    if place == "cuda":
        recipe = _with(recipe, "optimizer", kind="paged_adamw_8bit")
        yield recipe
    for length in (20, 10, 5):
        if length < recipe.rows.history_length:
            recipe = _with(recipe, "rows", history_length=length)
            yield recipe


def _micro_batches(recipe: Recipe) -> list[int]:
    """Those that the batch can be made of, largest first."""
    rows = recipe.optimizer.batch_size // recipe.run.processes
    return [n for n in range(rows, 0, -1) if rows % n == 0]


def _with(recipe: Recipe, section: str, **values: object) -> Recipe:
    inner = getattr(recipe, section).model_copy(update=values)
    return recipe.model_copy(update={section: inner})


def _settings(before: Recipe, after: Recipe) -> tuple[str, ...]:
    """What `--set` makes one recipe of the other."""
    changed = []
    for section in ("optimizer", "rows"):
        old, new = getattr(before, section), getattr(after, section)
        for name in type(new).model_fields:
            if getattr(old, name) != getattr(new, name):
                changed.append(f"{section}.{name}={_yaml(getattr(new, name))}")
    return tuple(changed)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def rows_per_epoch(recipe: Recipe, split: Split) -> int:
    """Rows after which every training position could have been a target once.

    A catalogue row teaches up to `rows.history_length` positions, a row of the other modes one.
    """
    targets = [len(sequence) - 1 for sequence in split.train if len(sequence) > 1]
    if recipe.mode != "catalogue":
        return sum(targets)
    return sum(-(-count // recipe.rows.history_length) for count in targets)
