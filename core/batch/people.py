"""Many people's histories, held tightly: a million of them fit in memory as two arrays."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class People:
    """U people with what the catalogue knows of their histories.

    Attributes:
        users: [U] the file's own ids, in the order of their first row.
        items: [n] int32, dense indices of all histories one after the other, oldest first, none twice.
        ends: [U] int64, where each person's items end in `items`.
        unknown: [U] int32, entries of each person that the catalogue does not have.
    """

    users: tuple[str, ...]
    items: NDArray[np.int32]
    ends: NDArray[np.int64]
    unknown: NDArray[np.int32]

    @classmethod
    def of(cls, users: Sequence[str], histories: Sequence[Sequence[int]], unknown: Sequence[int]) -> "People":
        """From one list per person."""
        flat = [item for history in histories for item in history]
        return cls(
            tuple(users),
            np.array(flat, np.int32),
            np.cumsum([len(history) for history in histories], dtype=np.int64),
            np.array(unknown, np.int32),
        )

    def __len__(self) -> int:
        return len(self.users)

    def history(self, person: int) -> tuple[int, ...]:
        """One person's known items, oldest first."""
        start = int(self.ends[person - 1]) if person else 0
        return tuple(self.items[start : int(self.ends[person])].tolist())

    @property
    def without_anything(self) -> int:
        """People of whom nothing is known."""
        return int(np.sum(np.diff(self.ends, prepend=0) == 0))

    @property
    def digest(self) -> str:
        """sha256 that changes with any person, item or order."""
        told = hashlib.sha256("\0".join(self.users).encode("utf-8", errors="surrogatepass"))
        for part in (self.items, self.ends, self.unknown):
            told.update(np.ascontiguousarray(part).tobytes())
        return told.hexdigest()
