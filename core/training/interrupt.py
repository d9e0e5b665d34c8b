"""A run that is asked to stop (Ctrl-C, `docker stop`) ends its step, keeps a checkpoint, and says so."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from core.training.processes import Team

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopWhenAsked(TrainerCallback):
    """A context manager around the training, and a callback in it.

    The first signal lets the running step finish; a second one gets the signal's usual effect at once.

    Args:
        team: the processes of the run. A signal to one of them stops all after the same step.

    Attributes:
        asked: whether a signal has come.
    """

    def __init__(self, team: Team | None = None) -> None:
        self.asked, self.team = False, team or Team()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopWhenAsked":
        # Only a program's main thread can be asked; elsewhere whoever owns the thread stops it. What the
        # parent has made this process ignore (a background job, nohup) stays ignored.
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._ask) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep what was learned, and leave."""
        self.asked = self.team.any(self.asked)
        if self.asked:
            control.should_save = control.should_training_stop = True
