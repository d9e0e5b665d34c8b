"""HF's Trainer with our loss, our validation and our checkpoints; everything else of it unchanged."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from core.training.checkpoint import (
    WHOLE,
    checkpoints,
    load_optimizer,
    load_random_state,
    load_trainable,
    prune,
    save_checkpoint,
)
from core.training.objective import Objective
from core.training.recipe import Recipe

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
    """gates [rows, K] or [rows, layers, K] -> mean entropy in nats (uniform: ln K), each expert's share."""
    rows = gates.flatten(0, -2)
    entropy = -(rows * rows.clamp_min(1e-12).log()).sum(-1).mean()
    shares = {f"gate_share_{k}": float(share) for k, share in enumerate(rows.mean(0))}
    return {"gate_entropy": float(entropy), "gate_spread": float(rows.std(0).mean()), **shares}


class RankingTrainer(Trainer):
    """Trains an :class:`Objective`.

    Args:
        recipe: the whole run.
        folder: the run folder.
        validate: gives the validation numbers, among them "hr1"; called every `run.evaluate_every` steps.
    """

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        folder: Path,
        rows: Any,
        collator: Callable[..., dict[str, Tensor]],
        validate: Callable[[], dict[str, float]],
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.recipe, self.folder, self.validate = recipe, folder, validate
        self._tally = _Tally()
        self.optimizer: torch.optim.Optimizer
        self.control: TrainerControl
        super().__init__(
            model=objective,
            args=training_arguments(recipe, folder),
            train_dataset=rows,
            eval_dataset=rows,  # never read (`evaluate` asks the ranker), but the Trainer wants one
            data_collator=collator,
            callbacks=[EarlyStoppingCallback(recipe.run.patience), *(callbacks or [])],
        )

    # ------------------------------------------------------------------ one step

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        # Rows are drawn at random by their own index; in order here, so that a resumed run reads on where it
        # stopped.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with one learning rate per kind of parameter."""
        # One fit per trainer, so there is never an earlier optimizer to keep.
        groups = parameter_groups(self.model, self.recipe)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), foreach=True)
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        out = model(**inputs)
        self._tally.hits += int(out["hits"])
        self._tally.targets += int(out["targets"])
        self._tally.rows += len(inputs["words"])
        if out["gate"] is not None:
            self._tally.gates.append(out["gate"].float().cpu())
        return (out["loss"], out) if return_outputs else out["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds accuracy, speed, gate entropy and expert shares to what the Trainer logs."""
        tally = self._tally
        if "loss" in logs and tally.targets:
            logs["accuracy"] = tally.hits / tally.targets
            logs["rows_per_second"] = tally.rows / (time.perf_counter() - tally.started)
            if tally.gates:
                logs.update(gate_numbers(torch.cat(tally.gates)))
            self._tally = _Tally()
        super().log(logs, start_time)

    # ------------------------------------------------------------------ validation

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """HR@1 among 20 on validation users, by the ranker that also serves."""
        # Validation must not shift the training's random numbers, or its frequency would change the result.
        random_state = torch.get_rng_state()
        self.model.eval()
        began = time.perf_counter()
        numbers = {f"eval_{name}": value for name, value in self.validate().items()}
        numbers["eval_seconds"] = time.perf_counter() - began
        torch.set_rng_state(random_state)
        self._tally.started += time.perf_counter() - began
        self.log(numbers)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, numbers)
        return numbers

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        better = super()._determine_best_metric(metrics, trial)
        if better:
            save_checkpoint(self.folder / BEST, self.model, None, None, json.dumps(self._state()))
        return better

    # ------------------------------------------------------------------ checkpoints

    def _state(self) -> dict[str, Any]:
        for callback in [*self.callback_handler.callbacks, self.control]:
            if hasattr(callback, "state") and callable(callback.state):
                self.state.stateful_callbacks[type(callback).__name__] = callback.state()
        return asdict(self.state)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if not self.args.should_save:
            return
        folder = self.folder / f"checkpoint-{self.state.global_step}"
        scheduler = {k: v for k, v in self.lr_scheduler.state_dict().items() if k != "lr_lambdas"}
        save_checkpoint(folder, self.model, self._bare_optimizer(), scheduler, json.dumps(self._state()))
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
            load_random_state(Path(checkpoint))

    def newest_checkpoint(self) -> Path | None:
        """The newest whole checkpoint of the run folder."""
        found = checkpoints(self.folder)
        return found[-1] if found else None


def steps_done(folder: Path) -> int:
    """How far a run folder has come, in optimizer steps."""
    found = checkpoints(folder)
    return TrainerState.load_from_json(str(found[-1] / WHOLE)).global_step if found else 0


def training_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """The recipe in the Trainer's words."""
    optimizer, run = recipe.optimizer, recipe.run
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=run.max_steps,
        per_device_train_batch_size=optimizer.micro_batch,
        gradient_accumulation_steps=optimizer.batch_size // optimizer.micro_batch,
        learning_rate=optimizer.adapter_lr,
        warmup_steps=round(optimizer.warmup * run.max_steps),
        lr_scheduler_type="cosine",
        max_grad_norm=optimizer.max_grad_norm,
        eval_strategy="steps",
        eval_steps=run.evaluate_every,
        save_strategy="steps",
        save_steps=run.save_every,
        metric_for_best_model="hr1",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        logging_steps=min(10, run.save_every),
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        seed=run.seed,
        data_seed=run.seed,
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )


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
