"""What a training step does about memory that does not suffice, and about numbers that are none."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from core.errors import RunError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the machine, did not suffice."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, Exception) and bool(should_reduce_batch_size(error))
    )


def split_rows(batch: Mapping[str, Tensor | None], rows: int) -> Iterator[dict[str, Tensor | None]]:
    """A batch cut into pieces of at most `rows` rows; every tensor's first dimension is the row."""
    total = len(next(value for value in batch.values() if value is not None))
    for start in range(0, total, rows):
        yield {name: v if v is None else v[start : start + rows] for name, v in batch.items()}


def take_gradients(parameters: list[nn.Parameter]) -> list[Tensor | None]:
    """Put the gradients of earlier micro-batches aside, so that a failed pass cannot spoil them."""
    held = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    return held


def give_back_gradients(parameters: list[nn.Parameter], held: list[Tensor | None]) -> None:
    """Add gradients put aside to those of the pass that succeeded."""
    for parameter, before in zip(parameters, held, strict=True):
        if before is None:
            continue
        parameter.grad = before if parameter.grad is None else before.add_(parameter.grad)


def keep_batch(batch: Mapping[str, Any], path: Path) -> None:
    """Write the tensors of a batch as safetensors: what broke a step can be looked at."""
    tensors = {n: v.detach().cpu().contiguous() for n, v in batch.items() if isinstance(v, Tensor)}
    save_file(tensors, path)


class RefuseBadGradients(TrainerCallback):
    """Stops before the optimizer spreads a gradient that is no number over all weights."""

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        """Raises RunError with the parameter's name and the step."""
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                raise RunError(
                    f"The gradient of {name} is not a number at step {state.global_step + 1}: lower the "
                    "learning rates (optimizer.*_lr), then go on from the last checkpoint with --resume."
                )
