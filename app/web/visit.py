"""One visitor's state: a history, what it was before and after. Every change makes a new `Visit`."""

from collections.abc import Iterable
from dataclasses import dataclass

MAX_HISTORY = 200
"""More titles than anybody types; keeps a pasted file from being taken for a history."""
STEPS = 20
"""Steps of undo that are kept: a chain without end would grow with every click."""

Place = tuple[tuple[int, ...], int | None]
"""A history and the held-out visitor whose untouched history it is."""


@dataclass(frozen=True)
class Visit:
    """What one visitor has put together.

    Attributes:
        history: dense item indices, oldest first, none twice.
        case: position of the held-out visitor in `Service.cases` whose untouched history this is, else None.
        past: where undo goes, the last one first to be taken.
        future: where redo goes, the last one first to be taken.
    """

    history: tuple[int, ...] = ()
    case: int | None = None
    past: tuple[Place, ...] = ()
    future: tuple[Place, ...] = ()

    @property
    def place(self) -> Place:
        """What lists depend on: two visits at one place get the same answer, however they came there."""
        return self.history, self.case

    def _changed(self, history: Iterable[int], case: int | None = None) -> "Visit":
        return Visit(tuple(history), case, (*self.past, self.place)[-STEPS:])

    def add(self, *items: int) -> "Visit":
        """Append items that are not there yet, up to `MAX_HISTORY`."""
        fresh = [item for item in dict.fromkeys(items) if item not in self.history]
        room = MAX_HISTORY - len(self.history)
        return self._changed((*self.history, *fresh[:room])) if fresh[:room] else self

    def remove(self, item: int) -> "Visit":
        """Take one item out."""
        if item not in self.history:
            return self
        return self._changed(kept for kept in self.history if kept != item)

    def move(self, item: int, steps: int) -> "Visit":
        """Move one item `steps` places later (negative: earlier); stops at the ends."""
        if item not in self.history:
            return self
        others = [kept for kept in self.history if kept != item]
        place = min(max(self.history.index(item) + steps, 0), len(others))
        moved = (*others[:place], item, *others[place:])
        return self if moved == self.history else self._changed(moved)

    def clear(self) -> "Visit":
        """Start again with nothing."""
        return self._changed(()) if self.history else self

    def become(self, case: int, history: Iterable[int]) -> "Visit":
        """Take over a held-out visitor's history."""
        return self._changed(history, case)

    def undo(self) -> "Visit":
        """Back to before the last change."""
        if not self.past:
            return self
        return Visit(*self.past[-1], self.past[:-1], (*self.future, self.place))

    def redo(self) -> "Visit":
        """Take the last undo back; a change in between ends that."""
        if not self.future:
            return self
        return Visit(*self.future[-1], (*self.past, self.place), self.future[:-1])
