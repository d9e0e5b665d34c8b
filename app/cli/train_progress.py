"""What a training run shows in the terminal: bars for slow steps, one live line, one line per validation."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers import TrainerCallback

from core.training.encoder_training import EncoderEpoch
from core.training.run import Watch


class TrainingProgress(TrainerCallback):
    """A context manager; `watch()` is what `core.training.run.train` is given. Draws on stderr."""

    def __init__(self, steps: int) -> None:
        self.console = Console(stderr=True)
        self.steps = steps
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=self.console,
        )
        self._tasks: dict[str, Any] = {}
        self._began: float | None = None
        self._first_step = 0

    def __enter__(self) -> "TrainingProgress":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def watch(self) -> Watch:
        """This progress as the run wants it."""
        return Watch(step=self.step, encoder=self.encoder_epoch, callbacks=(self,), say=self.console.print)

    def step(self, what: str, done: int, total: int) -> None:
        """A slow step: (what, done, in all; 0 = unknown)."""
        if total == 0:
            self.console.print(f"{what} …")
            return
        self._update(what, done, total, "")

    def encoder_epoch(self, epoch: EncoderEpoch) -> None:
        """One line per encoder epoch."""
        self.console.print(
            f"encoder epoch {epoch.epoch:3d}  loss {epoch.loss:.3f}  "
            f"validation NDCG@10 {epoch.validation:.4f}  "
            f"best {epoch.best:.4f}  {epoch.seconds:.1f} s"
        )

    # ------------------------------------------------------------------ the Trainer's callbacks

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock at the first step of this session, resumed or not."""
        self._began, self._first_step = time.perf_counter(), state.global_step
        self._update("training", state.global_step, self.steps, "")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Loss, accuracy, speed, time left, gate; and one lasting line per validation."""
        logs = logs or {}
        if "eval_hr1" in logs:
            best = max(float(state.best_metric or 0.0), logs["eval_hr1"])
            beside = (
                f"ValidRatio {logs['eval_valid_ratio']:.4f}"
                if "eval_valid_ratio" in logs
                else f"NDCG@10 of the 20 {logs['eval_ndcg10']:.4f}"
            )
            self.console.print(
                f"step {state.global_step:5d}  validation HR@1 {logs['eval_hr1']:.4f}  "
                f"{beside}  best {best:.4f}"
            )
        if "loss" in logs:
            self._update("training", state.global_step, self.steps, self._numbers(state.global_step, logs))

    def _numbers(self, step: int, logs: dict[str, float]) -> str:
        parts = [f"loss {logs['loss']:.3f}"]
        if "accuracy" in logs:
            parts += [f"acc {logs['accuracy']:.3f}", f"{logs['rows_per_second']:.1f} rows/s"]
        if self._began is not None and step > self._first_step:
            per_step = (time.perf_counter() - self._began) / (step - self._first_step)
            parts.append(f"{per_step * (self.steps - step) / 60:.0f} min left")
        if "gate_entropy" in logs:
            shares = [logs[k] for k in sorted(logs) if k.startswith("gate_share_")]
            parts.append(f"gate H {logs['gate_entropy']:.2f} " + "/".join(f"{s:.0%}"[:-1] for s in shares))
        return "  ".join(parts)

    def _update(self, what: str, done: int, total: int, numbers: str) -> None:
        if what not in self._tasks:
            self._tasks[what] = self.progress.add_task(what, total=total, numbers="")
        self.progress.update(self._tasks[what], completed=done, numbers=numbers)
