"""A progress bar for downloads: bytes, speed and remaining time while a step runs, nothing afterwards."""

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class DownloadBar:
    """A `core.assets.Progress` drawn on stderr; silent where stderr is not a terminal.

    Used as a context manager; the bar appears with the first step, so nothing flashes up when all is cached.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._step = ""

    def __enter__(self) -> "DownloadBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done_bytes: int, total_bytes: int | None, step: str) -> None:
        """Show how far the step is; a new step starts a new bar in the same line."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            console = Console(stderr=True)
            self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
            self._bar.start()
        if self._task is None or step != self._step:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._step = step
            self._task = self._bar.add_task(f"{self.what}: {step}", total=total_bytes)
        self._bar.update(self._task, completed=done_bytes, total=total_bytes)
