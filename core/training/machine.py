"""What a recipe asks of a machine, checked before anything is loaded or written."""

import torch

from core.errors import RecipeError
from core.training.recipe import Recipe


def check_machine(recipe: Recipe, cuda: bool | None = None) -> None:
    """Refuse a recipe that this machine would stumble over in the middle of a run.

    Args:
        cuda: whether there is a CUDA device; None looks.

    Raises:
        RecipeError: an option needs CUDA and there is none; or several processes are asked for.
    """
    if cuda is None:
        cuda = torch.cuda.is_available()
    if recipe.optimizer.kind == "paged_adamw_8bit" and not cuda:
        raise RecipeError(
            'optimizer.kind="paged_adamw_8bit" needs a CUDA device and torch sees none:'
            " add --set optimizer.kind=adamw to train here."
        )
    if recipe.run.sharding == "fsdp" and not cuda:
        raise RecipeError(
            'run.sharding="fsdp" needs CUDA devices and torch sees none:'
            " add --set run.sharding=none --set run.processes=1 to train here."
        )
    if recipe.run.processes > 1:
        raise RecipeError(
            f"run.processes={recipe.run.processes}: this version trains in one process only;"
            " add --set run.processes=1 --set run.sharding=none, and ask `ilora estimate` what then fits."
        )
