"""What a training run logs, read from its TensorBoard files while another process still writes them."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

EVENTS = "events.out.tfevents.*"
MOST_POINTS = 2_000
"""Points kept per curve; of longer ones an even sample, the last point always among them."""
OPEN = 8


@dataclass(frozen=True)
class Curve:
    """One logged number over optimizer steps; both of one length, steps rising."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


class CurveReader:
    """Reads runs again and again and takes in only what was added since. Safe to share between threads.

    A run that was resumed wrote a folder of events per session; where they overlap, the later session counts,
    as it went back to a checkpoint.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, EventAccumulator] = OrderedDict()

    def read(self, run: Path) -> dict[str, Curve]:
        """Tag ("train/loss", "eval/hr1") -> its curve; empty where nothing is logged yet."""
        with self._lock:
            sessions = sorted(
                {file.parent for file in run.rglob(EVENTS)},
                key=lambda folder: min(map(str, folder.glob(EVENTS))),
            )
            points: dict[str, dict[int, float]] = {}
            for session in sessions:
                events = self._events(session)
                for tag in events.Tags()[SCALARS]:
                    own = {event.step: float(event.value) for event in events.Scalars(tag)}
                    before = {s: v for s, v in points.get(tag, {}).items() if s < min(own, default=0)}
                    points[tag] = before | own
            return {tag: _curve(own) for tag, own in points.items() if own}

    def _events(self, session: Path) -> EventAccumulator:
        if session not in self._open:
            self._open[session] = EventAccumulator(str(session), size_guidance={SCALARS: MOST_POINTS})
            if len(self._open) > OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(session)
        return self._open[session].Reload()


def _curve(points: dict[int, float]) -> Curve:
    steps = sorted(points)
    return Curve(tuple(steps), tuple(points[step] for step in steps))
