"""What a person sees while something slow loads: the step's name, on stderr, and nothing if it was quick."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

PATIENCE = 2.0
"""Seconds that may pass in silence where no spinner can be drawn (a pipe, a log)."""


class Loading:
    """Tell it each step: a spinner on a terminal, else one plain line per step after `PATIENCE`."""

    def __enter__(self) -> "Loading":
        from rich.console import Console

        self._began = time.monotonic()
        console = Console(stderr=True)
        self._spinner: Status | None = console.status("Starting.") if console.is_terminal else None
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def __call__(self, sentence: str) -> None:
        """Begin a step."""
        if self._spinner is not None:
            self._spinner.update(sentence)
        elif time.monotonic() - self._began > PATIENCE:
            print(sentence, file=sys.stderr, flush=True)
