"""The folder of a run: whose it is, what its recipe says, and that one run at a time is at work in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import RunBusy, RunError
from core.training.finished import RECIPE
from core.training.prepare import RECORD
from core.training.processes import is_first, started
from core.training.recipe import Recipe, load_recipe
from quant.backbone import compute_on, default_device


def wanted_in(recipe: Recipe, folder: Path, resume: bool) -> Recipe:
    """The recipe that a folder's run has or will have: its own when it is resumed.

    Raises:
        RunError: the folder holds another run, or there is nothing to resume.
    """
    if not resume and started() > 1 and not is_first():  # the first may have begun to write there already
        return recipe
    stored = folder / RECIPE
    # One that ended before its first number was computed (a name misspelt, no room) is begun anew.
    if stored.is_file() and (resume or (folder / RECORD).is_file()):
        if not resume:
            raise RunError(f"{folder} holds a run already: add --resume to go on, or choose another folder.")
        return load_recipe(str(stored))
    if resume:
        raise RunError(f"{folder} holds no run to resume ({RECIPE} is missing).")
    return recipe


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, made if it is not there yet. Raises RunBusy where one is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise RunBusy(
            f"{folder} is being trained by another process: wait for it or choose another folder."
        ) from None


def open_folder(recipe: Recipe, folder: Path, resume: bool) -> Recipe:
    """Write a run's recipe into its folder, which is `held`; gives the recipe that the run has.

    Raises:
        RunError: as `wanted_in`: another run may have begun here before the folder was held.
    """
    recipe = wanted_in(recipe, folder, resume)
    if resume:
        return recipe
    if recipe.model.compute == "auto":  # settled once, so that a resumed run goes on with the same numbers
        settled = recipe.model.model_copy(update={"compute": compute_on(default_device())})
        recipe = recipe.model_copy(update={"model": settled})
    recipe.save(folder / RECIPE)
    return recipe
