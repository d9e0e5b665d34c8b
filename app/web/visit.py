"""One visitor's state: an ordered history and the one before it. Every change makes a new, frozen `Visit`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

MAX_HISTORY = 100
"""More titles than anybody types; keeps a pasted file from being taken for a history."""


@dataclass(frozen=True)
class Visit:
    """What one visitor has put together.

    Attributes:
        history: dense item indices, oldest first, none twice.
        case: position of the held-out visitor in `Service.cases` whose untouched history this is, else None.
        before: the visit before the last change, for one step of undo.
    """

    history: tuple[int, ...] = ()
    case: int | None = None
    before: "Visit | None" = None

    def _changed(self, history: Iterable[int], case: int | None = None) -> "Visit":
        # Only one step is kept: a chain of visits would grow with every click.
        return Visit(tuple(history), case, replace(self, before=None))

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
        """Back to before the last change; undoing twice is redoing."""
        return self if self.before is None else replace(self.before, before=replace(self, before=None))
