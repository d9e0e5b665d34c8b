"""What a recipe asks of a machine, checked before anything is loaded or written."""

from importlib.util import find_spec

import torch

from core.errors import RecipeError
from core.training.recipe import Recipe


def check_machine(
    recipe: Recipe, cuda: bool | None = None, cards: int | None = None, started: int | None = None
) -> None:
    """Refuse a recipe that this machine would stumble over in the middle of a run.

    Args:
        cuda: whether there is a CUDA device; None looks.
        cards: how many; None looks.
        started: processes that were started together; None where they are yet to be.

    Raises:
        RecipeError: an option needs CUDA and there is none, or more GPUs than there are, or another number
            of processes than were started, or a tracker that is not installed.
    """
    if cuda is None:
        cuda = torch.cuda.is_available()
    if cards is None:
        cards = torch.cuda.device_count()
    if recipe.optimizer.kind == "paged_adamw_8bit" and not cuda:
        raise RecipeError(
            'optimizer.kind="paged_adamw_8bit" needs a CUDA device and torch sees none:'
            " add --set optimizer.kind=adamw to train here."
        )
    _check_processes(recipe, cuda, cards, started)
    for tracker in recipe.run.report_to:
        if find_spec(tracker) is None:
            raise RecipeError(
                f"run.report_to names {tracker}, which is not installed: pip install {tracker},"
                " or leave it out (TensorBoard is always written)."
            )


def _check_processes(recipe: Recipe, cuda: bool, cards: int, started: int | None) -> None:
    wanted = recipe.run.processes
    if cuda and wanted > cards:
        raise RecipeError(
            f"run.processes={wanted} needs a GPU for each and torch sees {cards}: add --set"
            f" run.processes={cards}{' --set run.sharding=none' if cards == 1 else ''}, and ask"
            " `ilora estimate` what then fits."
        )
    if started is None or started == wanted:
        return
    if started == 1:
        raise RecipeError(
            f"run.processes={wanted}, but one process was started: add --launch, which starts them all,"
            " or --set run.processes=1 --set run.sharding=none to train in this one."
        )
    raise RecipeError(
        f"{started} processes were started (WORLD_SIZE), but the recipe's run.processes={wanted}:"
        f" add --set run.processes={started}, or start {wanted}."
    )
