"""HF's Trainer with our loss, our validation and our checkpoints; everything else of it unchanged."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import SequentialSampler
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from core.errors import RunError
from core.training.arguments import training_arguments
from core.training.checkpoint import (
    WHOLE,
    load_optimizer,
    load_random_state,
    load_trainable,
    newest_whole,
    prune,
    random_tensors,
    save_checkpoint,
)
from core.training.faults import (
    RefuseBadGradients,
    give_back_gradients,
    is_out_of_memory,
    keep_batch,
    split_rows,
    take_gradients,
)
from core.training.objective import Objective
from core.training.processes import Team
from core.training.recipe import Recipe
from core.training.rows import IGNORED
from quant.optimizer import paged_adamw_8bit

BETAS = (0.9, 0.999)
BEST = "best"
"""Folder of the best validation's weights, beside the checkpoints."""


@dataclass
class _Tally:
    """What was counted since the last log."""

    hits: int = 0
    targets: int = 0
    rows: int = 0
    gates: list[Tensor] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)


def gate_numbers(gates: Tensor) -> dict[str, float]:
    """gates [rows, K] or [rows, layers, K] -> mean entropy in nats (uniform: ln K), each expert's share, and
    how far shares differ between rows (not between layers); a single row says nothing of that."""
    each = gates.flatten(0, -2)  # (rows, K) or (rows * layers, K)
    entropy = -(each * each.clamp_min(1e-12).log()).sum(-1).mean()
    shares = {f"gate_share_{k}": float(share) for k, share in enumerate(each.mean(0))}
    spread = {"gate_spread": float(gates.std(0).mean())} if len(gates) > 1 else {}
    return {"gate_entropy": float(entropy), **spread, **shares}


class RankingTrainer(Trainer):
    """Trains an :class:`Objective`.

    Args:
        recipe: the whole run.
        folder: the run folder.
        validate: gives the validation numbers, among them "hr1"; called every `run.evaluate_every` steps.
        say: told one sentence when something is not as planned: memory that does not suffice, a damaged
            checkpoint.
        team: the processes that train together. Each learns from its share of every step's rows; the first
            alone writes.
    """

    # The loss is a sum over targets divided by those of the whole optimizer step: how the step is cut into
    # micro-batches and processes changes nothing.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        folder: Path,
        rows: Any,
        collator: Callable[..., dict[str, Tensor]],
        validate: Callable[[], dict[str, float]],
        say: Callable[[str], None],
        callbacks: list[TrainerCallback] | None = None,
        team: Team | None = None,
    ) -> None:
        self.team = team or Team()
        self.recipe, self.folder, self.validate, self.say = recipe, folder, validate, say
        self.micro_batch = recipe.optimizer.micro_batch
        self._tally = _Tally()
        self.optimizer: torch.optim.Optimizer
        self.control: TrainerControl
        super().__init__(
            model=objective,
            args=training_arguments(recipe, folder),
            train_dataset=rows,
            eval_dataset=rows,  # never read (`evaluate` asks the ranker), but the Trainer wants one
            data_collator=collator,
            callbacks=[
                EarlyStoppingCallback(recipe.run.patience),
                RefuseBadGradients(),
                *(callbacks or []),
            ],
        )
        if self.team.count > 1:
            leave_frozen_apart(objective)
        if not self.team.first:  # the first goes on with the Trainer's own seed, as a process alone does
            torch.manual_seed(self.team.seed(recipe.run.seed))

    # ------------------------------------------------------------------ one step

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        # Rows are drawn at random by their own index; in order here, so that a resumed run reads on where it
        # stopped.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, of the recipe's kind, with one learning rate per kind of parameter."""
        # One fit per trainer, so there is never an earlier optimizer to keep.
        self.optimizer = new_optimizer(self.model, self.recipe)
        return self.optimizer

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """Targets of one optimizer step, over all micro-batches and processes."""
        counts = [(batch["targets"] != IGNORED).sum() for batch in batch_samples]
        total = torch.stack(counts).sum().to(device)
        gathered: Tensor = self.accelerator.gather(total) if self.args.world_size > 1 else total
        return gathered.sum()

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """One micro-batch, in as many passes as memory demands.

        Raises:
            RunError: not even a single row fits.
        """
        parameters = [p for p in model.parameters() if p.requires_grad]
        # Processes exchange a step's gradients in its last pass, all of them: none may be put aside then.
        aside = parameters if self.team.count == 1 else []
        earlier, tally = take_gradients(aside), copy.deepcopy(self._tally)
        while True:
            try:
                losses = [
                    super(RankingTrainer, self).training_step(model, part, num_items_in_batch)
                    for part in split_rows(inputs, self.micro_batch)
                ]
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)
                take_gradients(parameters)
                self._tally = copy.deepcopy(tally)
        give_back_gradients(aside, earlier)
        return torch.stack(losses).sum()

    def _halve(self, error: BaseException) -> None:
        if self.micro_batch == 1:
            raise RunError(
                "Memory does not suffice for a single row: shorten rows.history_length, or set "
                "optimizer.gradient_checkpointing=true."
            ) from error
        if self.team.count > 1:
            raise RunError(
                f"Memory does not suffice for {self.micro_batch} rows on process {self.team.rank}, and "
                "several processes do not halve their passes by themselves: begin a new run with "
                f"--set optimizer.micro_batch={self.micro_batch // 2}."
            ) from error
        self.micro_batch //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.say(
            f"Memory does not suffice: from step {self.state.global_step + 1} on {self.micro_batch} rows per "
            "pass, with more passes per step; the same rows are learned from."
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        out = model(**inputs)
        if not bool(torch.isfinite(out["loss"].detach())):
            self._stop_at_no_number(inputs)
        # Gradients are averaged over processes, hence their number; all of it is 1 for a single pass.
        share = out["targets"] * self.args.world_size / num_items_in_batch
        out["loss"] = out["loss"] * share.to(out["loss"])
        self._tally.hits += int(out["hits"])
        self._tally.targets += int(out["targets"])
        self._tally.rows += len(inputs["words"])
        if out["gate"] is not None:
            self._tally.gates.append(out["gate"].float().cpu())
        return (out["loss"], out) if return_outputs else out["loss"]

    def _stop_at_no_number(self, inputs: dict[str, Any]) -> None:
        step = self.state.global_step + 1
        kept = self.folder / f"not-a-number-{step}.safetensors"
        keep_batch(inputs, kept)
        raise RunError(
            f"The loss is not a number at step {step}: the batch is kept in {kept}. Lower the learning rates "
            "(optimizer.*_lr), then go on from the last checkpoint with --resume."
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds accuracy, speed, gate entropy and expert shares to what the Trainer logs."""
        if "loss" in logs and self._tally.targets:
            everyones = self.team.gathered(self._tally)
            logs["accuracy"] = sum(t.hits for t in everyones) / sum(t.targets for t in everyones)
            seconds = time.perf_counter() - self._tally.started
            logs["rows_per_second"] = sum(t.rows for t in everyones) / seconds
            if gates := [gate for tally in everyones for gate in tally.gates]:
                logs.update(gate_numbers(torch.cat(gates)))
            self._tally = _Tally()
        super().log(logs, start_time)

    # ------------------------------------------------------------------ validation

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """HR@1 among 20 on validation users, by the ranker that also serves.

        Every process asks about the same users, as a shared-out backbone answers to all or none; what the
        first one finds counts, so that all stop and keep alike.
        """
        # Validation must not shift the training's random numbers, or its frequency would change the result.
        random_state = torch.get_rng_state()
        self.model.eval()
        began = time.perf_counter()
        numbers = {f"eval_{name}": value for name, value in self.validate().items()}
        numbers = self.team.told(numbers | {"eval_seconds": time.perf_counter() - began})
        torch.set_rng_state(random_state)
        self._tally.started += time.perf_counter() - began
        self.log(numbers)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, numbers)
        return numbers

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        better = super()._determine_best_metric(metrics, trial)
        if better and self.team.first:
            save_checkpoint(self.folder / BEST, self.model, None, None, json.dumps(self._state()))
        return better

    # ------------------------------------------------------------------ checkpoints

    def _state(self) -> dict[str, Any]:
        for callback in [*self.callback_handler.callbacks, self.control]:
            if hasattr(callback, "state") and callable(callback.state):
                self.state.stateful_callbacks[type(callback).__name__] = callback.state()
        return asdict(self.state)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        generators = self.team.gathered(random_tensors())
        if self.team.first:
            self._write_checkpoint(generators)
        self.team.wait()  # nobody ends the run while it is being written

    def _write_checkpoint(self, generators: list[dict[str, Tensor]]) -> None:
        folder = self.folder / f"checkpoint-{self.state.global_step}"
        scheduler = {k: v for k, v in self.lr_scheduler.state_dict().items() if k != "lr_lambdas"}
        state = json.dumps(self._state())
        save_checkpoint(folder, self.model, self._bare_optimizer(), scheduler, state, generators)
        prune(self.folder, self.recipe.run.keep)

    def _bare_optimizer(self) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        return optimizer

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_trainable(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            scheduler = load_optimizer(self._bare_optimizer(), Path(checkpoint))
            if scheduler is not None:
                self.lr_scheduler.load_state_dict(
                    {"lr_lambdas": [None] * len(self.optimizer.param_groups), **scheduler}
                )

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random_state(Path(checkpoint), self.team.rank)

    def newest_checkpoint(self) -> Path | None:
        """The newest checkpoint of the run folder that is as it was written."""
        return self.team.told(newest_whole(self.folder, self.say) if self.team.first else None)


def steps_done(checkpoint: Path | None) -> int:
    """How far a checkpoint has come, in optimizer steps."""
    return 0 if checkpoint is None else TrainerState.load_from_json(str(checkpoint / WHOLE)).global_step


def leave_frozen_apart(objective: nn.Module) -> None:
    """Keep DDP to what trains: it would send the whole backbone about once, and shares of one it cannot."""
    frozen = [name for name, parameter in objective.named_parameters() if not parameter.requires_grad]
    constant = [name for name, _ in objective.named_buffers()]
    leave = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
    leave(objective, [*frozen, *constant])  # type: ignore[no-untyped-call]


def new_optimizer(objective: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over what trains."""
    groups = parameter_groups(objective, recipe)
    if recipe.optimizer.kind == "paged_adamw_8bit":
        return paged_adamw_8bit(groups, BETAS)
    return torch.optim.AdamW(groups, betas=BETAS, foreach=True)


def parameter_groups(objective: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """One group per kind: LoRA matrices, gate, projections and head, item vectors."""
    optimizer = recipe.optimizer
    rates = {
        "gate": optimizer.gate_lr,
        "items": optimizer.item_lr,
        "projections": optimizer.projection_lr,
        "adapters": optimizer.adapter_lr,
    }
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in rates}
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            groups[_kind(name)].append(parameter)
    return [
        {"params": parameters, "lr": rates[kind], "weight_decay": optimizer.weight_decay, "name": kind}
        for kind, parameters in groups.items()
        if parameters
    ]


def _kind(name: str) -> str:
    if "experts_gate" in name:
        return "gate"
    if name.endswith((".vectors", ".bias")) and name.startswith("model.spaces") and name.count(".") == 3:
        return "items"
    if name.startswith(("model.spaces", "model.branches")):
        return "projections"
    return "adapters"
