"""One request at a time through the model, few in line, and a plain answer to everybody else."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from quant.errors import IloraError


class Busy(IloraError):
    """Too many people are waiting. `seconds` is about how long the line takes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, round(seconds))
        super().__init__(f"The server is busy: try again in about {self.seconds} s.")


class Turnstile:
    """Lets one caller in and at most `line` others wait, first come first served; safe to share by threads.

    Two forward passes at once on the same cores take longer than one after the other, hence one. In order,
    because a bare lock lets one who asks again and again overtake everybody.
    """

    def __init__(self, line: int) -> None:
        self.line = line
        self._count = threading.Lock()
        self._present: deque[threading.Event] = deque()  # the first one is inside
        self._usual = 1.0  # seconds one caller stays inside, a moving average

    @property
    def present(self) -> int:
        """How many are inside or in line."""
        return len(self._present)

    @property
    def waiting(self) -> int:
        """How many are in line, besides the one inside."""
        return max(0, self.present - 1)

    def close(self) -> None:
        """Let nobody new into the line; whoever stands in it is still served."""
        self.line = -1

    def stand_back(self, patience: float) -> None:
        """Return in a moment in which nobody is inside or in line. Raises Busy after `patience` seconds."""
        until = time.monotonic() + patience
        while self.present:
            if time.monotonic() > until:
                raise Busy(patience)
            time.sleep(0.05)

    @contextmanager
    def pass_through(self) -> Iterator[None]:
        """Wait for the turn and hold it. Raises Busy at once when the line is full."""
        turn = threading.Event()
        with self._count:
            if len(self._present) > self.line:
                raise Busy(len(self._present) * self._usual)
            self._present.append(turn)
            if len(self._present) == 1:
                turn.set()
        try:
            turn.wait()
            start = time.perf_counter()
            yield
            self._usual += 0.2 * (time.perf_counter() - start - self._usual)
        finally:
            with self._count:
                self._present.remove(turn)
                if self._present:
                    self._present[0].set()
