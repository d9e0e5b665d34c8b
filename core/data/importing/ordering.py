"""Events in the order in which they happened: by time, else by place in the file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.importing.events import Events


@dataclass(frozen=True)
class OrderFacts:
    """What was found while ordering.

    Attributes:
        undated: events without a time.
        unsorted: events that stand behind a later one of the same user.
        tied: events that share user and time with another; their order is the file's.
    """

    undated: int
    unsorted: int
    tied: int


def ordered(events: Events) -> tuple[Events, OrderFacts]:
    """Events by user, then time, then place in the file.

    An event without a time stays behind the one of the same user that precedes it in the file.
    """
    by_user = events.take(np.argsort(events.user, kind="stable"))  # within a user still in the file's order
    time = _filled(by_user.user, by_user.time)
    same_user = by_user.user[1:] == by_user.user[:-1]
    known = ~np.isnan(by_user.time)
    later = np.maximum.accumulate(_ranked(by_user.user, time)) if len(time) else time
    unsorted = int(np.sum(known & (_ranked(by_user.user, time) < later))) if len(time) else 0
    order = np.lexsort((time, by_user.user))
    done = by_user.take(order)
    same_time = same_user & (done.time[1:] == done.time[:-1])
    tied = int(np.sum(np.append(same_time, False) | np.append(False, same_time)))
    return done, OrderFacts(int(np.sum(~known)), unsorted, tied)


def _ranked(user: NDArray[np.int64], time: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number per event that grows with the user, then with the time, for one running maximum over all."""
    ranks = np.unique(time, return_inverse=True)[1].astype(np.float64)
    return user * (ranks.max() + 1.0) + ranks


def _filled(user: NDArray[np.int64], time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times with gaps filled from the same user's event before, else from his first one that has a time."""
    n = len(time)
    places = np.arange(n)
    starts = np.flatnonzero(np.append(True, user[1:] != user[:-1])) if n else places
    start = np.repeat(starts, np.diff(np.append(starts, n)))
    end = np.repeat(np.append(starts[1:], n), np.diff(np.append(starts, n))) if n else places
    known = ~np.isnan(time)
    before = np.maximum.accumulate(np.where(known, places, -1)) if n else places
    behind = np.minimum.accumulate(np.where(known, places, n)[::-1])[::-1] if n else places
    source = np.where(before >= start, before, np.where(behind < end, behind, -1))
    return np.where(source >= 0, time[source], 0.0) if n else time
