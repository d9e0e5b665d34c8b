"""A few steps of a recipe on made-up item vectors: how long one takes, and how much memory it holds.

Time and memory depend on shapes alone, so the encoder is left untrained and nothing is written; rows and
titles are the data set's own.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from core.assembly import new_model
from core.data.dataset import Dataset
from core.encoder import EncoderShape, SASRec
from core.gate_reading import gate_reading
from core.item_space import ItemFeatures
from core.prompt import Wording
from core.training.memory import Batch
from core.training.objective import Objective
from core.training.recipe import Recipe
from core.training.rows import IGNORED, Collator, check_rows
from core.training.run import choose_trained, training_rows
from core.training.trainer import new_optimizer
from quant.backbone import Backbone

Watch = Callable[[str, int, int], None]
"""Told (what is being done, done so far, in all)."""


@dataclass(frozen=True)
class Trial:
    """What a micro-step was seen to need.

    Attributes:
        batch: its shape.
        seconds: of one forward and backward pass.
        resident: bytes that lie there between steps: weights, trained numbers, gradients, optimizer states.
        peak: bytes of tensors at the fullest moment of a step, the optimizer's part included. On the CPU
            summed up from the allocator's own events, so that neither the interpreter nor fragments count; on
            CUDA `max_memory_allocated`, which leaves out the context.
    """

    batch: Batch
    seconds: float
    resident: int
    peak: int


def run_trial(
    recipe: Recipe,
    backbone: Backbone,
    dataset: Dataset,
    watch: Watch = lambda what, done, total: None,
) -> Trial:
    """Two micro-steps: one is weighed, which also warms up, one is timed. The backbone is left as it was.

    Raises:
        RecipeError: as `check_rows`.
    """
    check_rows(recipe, dataset.split(recipe.split), dataset.num_items)
    torch.set_num_threads(recipe.run.threads)
    objective, fields = _first_step(recipe, backbone, dataset)
    optimizer = new_optimizer(objective, recipe)
    for parameter in objective.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # makes its states, as the first step of a run does
    watch("Measuring a step", 0, 2)
    resident = held_bytes(_resident(objective, backbone, optimizer))

    def step() -> None:
        _forward_backward(objective, fields)
        optimizer.step()

    peak = _peak(step, backbone.device, resident)
    watch("Measuring a step", 1, 2)
    began = time.perf_counter()
    _forward_backward(objective, fields)
    if backbone.device.type == "cuda":
        torch.cuda.synchronize(backbone.device)
    seconds = time.perf_counter() - began
    watch("Measuring a step", 2, 2)
    objective.model.decoder.unload()  # type: ignore[operator]
    return Trial(shape_of(fields), seconds, resident, peak)


def held_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes behind tensors, those that share memory counted once."""
    storages = {s.data_ptr(): s.nbytes() for s in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storages.values())


def shape_of(fields: dict[str, Tensor]) -> Batch:
    """The shape of a collated micro-batch (`core.training.rows.Collator`)."""
    rows, length = fields["words"].shape
    targets = fields["targets"]
    asked = targets.numel() if "candidates" not in fields else rows
    # Right-hand padding restarts the positions, which the library takes for several packed sequences.
    ragged = bool((fields["positions"].diff(dim=1) != 1).any())
    return Batch(rows, length, "mask" in fields or ragged, asked, int((targets != IGNORED).sum()))


def _first_step(recipe: Recipe, backbone: Backbone, dataset: Dataset) -> tuple[Objective, dict[str, Tensor]]:
    torch.manual_seed(recipe.run.seed)
    e, n = recipe.encoder, len(dataset.catalog)
    encoder = SASRec(EncoderShape(n, e.width, e.layers, e.heads, e.max_length, e.dropout))
    components = min(recipe.model.text_components, n - 1, backbone.hidden_size)
    features = ItemFeatures(
        encoder.items.weight[:-1].detach().clone(),
        torch.randn(n, components),
        torch.ones(n, dtype=torch.bool),
    )
    model = new_model(backbone, features, recipe)
    reading = gate_reading(recipe, encoder, dataset.split(recipe.split), features.text)
    objective = Objective(model, encoder, recipe.method, reading)
    choose_trained(objective, recipe)
    rows = reading.rows(training_rows(dataset, recipe, encoder))
    collate = Collator(Wording.of(backbone.tokenizer, dataset.catalog, dataset.domain), n)
    fields = collate([rows[index] for index in range(recipe.optimizer.micro_batch)])
    objective.to(backbone.device).train()
    return objective, {name: tensor.to(backbone.device) for name, tensor in fields.items()}


def _forward_backward(objective: Objective, fields: dict[str, Tensor]) -> None:
    loss: Tensor = objective(**fields)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]


def _resident(objective: nn.Module, backbone: Backbone, optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    for module in (objective, backbone.model):
        yield from module.buffers()
        for parameter in module.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
            if (state := getattr(parameter, "quant_state", None)) is not None:
                scales = (state, state.state2)
                yield from (s.absmax for s in scales)
                yield from (s.code for s in scales)
                yield state.offset
    for moments in optimizer.state.values():
        yield from (value for value in moments.values() if isinstance(value, Tensor))


def _peak(step: Callable[[], object], device: torch.device, resident: int) -> int:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    assert profiled.profiler is not None
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = highest = 0
    for _, change in changes:
        held += change
        highest = max(highest, held)
    return resident + highest
