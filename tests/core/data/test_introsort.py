"""The old unstable sort: sorts correctly whatever comes, and keeps its tie order for ever."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.introsort import SMALL_RUN, introsort_argsort


@given(st.lists(st.integers(-3, 3) | st.integers(), max_size=300))
def test_result_is_a_permutation_that_sorts(keys: list[int]) -> None:
    order = introsort_argsort(keys)
    assert sorted(order) == list(range(len(keys)))
    assert [keys[i] for i in order] == sorted(keys)


@given(st.lists(st.integers(0, 3), max_size=SMALL_RUN))
def test_short_runs_are_stable(keys: list[int]) -> None:
    assert introsort_argsort(keys) == np.argsort(keys, kind="stable").tolist()


def test_long_runs_are_not_stable_which_is_the_point() -> None:
    keys = [0] * 40
    assert introsort_argsort(keys) != list(range(40))


class _Adversary:
    """A key that decides its value only when compared, making every pivot as bad as it can be.

    McIlroy 1999, "A killer adversary for quicksort". Values are decided in the order in which they turn out
    to be pivots, so that each partition splits off almost nothing.
    """

    solid = 0
    candidate: "_Adversary | None" = None

    def __init__(self) -> None:
        self.value: int | None = None  # None is "gas": larger than everything decided so far

    def _solidify(self) -> None:
        self.value = _Adversary.solid
        _Adversary.solid += 1

    def __lt__(self, other: "_Adversary") -> bool:
        if self.value is None and other.value is None:
            (self if self is _Adversary.candidate else other)._solidify()
        if self.value is None:
            _Adversary.candidate = self
        elif other.value is None:
            _Adversary.candidate = other
        return other.value is None or (self.value is not None and self.value < other.value)


def _killer(n: int) -> list[int]:
    """n keys on which this quicksort would be quadratic, so that the depth limit must act."""
    _Adversary.solid, _Adversary.candidate = 0, None
    keys = [_Adversary() for _ in range(n)]
    introsort_argsort(keys)  # type: ignore[arg-type]
    return [key.value if key.value is not None else n for key in keys]


@pytest.mark.parametrize("n", [256, 2048])
def test_bad_input_is_handed_to_heapsort_and_still_sorted(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.data import introsort

    heapsorted: list[int] = []
    original = introsort._heapsort

    def watched(order: list[int], keys: list[int], first: int, last: int) -> None:
        heapsorted.append(last - first + 1)
        original(order, keys, first, last)

    monkeypatch.setattr(introsort, "_heapsort", watched)
    keys = _killer(n)
    assert [keys[i] for i in introsort_argsort(keys)] == sorted(keys)
    assert heapsorted


@pytest.mark.parametrize(
    ("keys", "digest"),
    [
        (
            [i * i * 7919 % 1000 % 5 for i in range(1000)],
            "27b9baa5c87c1f16c1cb6787f3d59283f7dd629a293c774211eabf61403ba4dc",
        ),
        (
            [key // 8 for key in _killer(2048)],
            "7271d4696fd32963609f1addf8e1ecbd0f30778b106e61113392c8bb5f7474e7",
        ),
    ],
    ids=["quicksort", "heapsort"],
)
def test_tie_order_of_long_runs_is_pinned(keys: list[int], digest: str) -> None:
    # Compared once with numpy's own sort, vector code switched off: equal on these and 300 other arrays.
    assert hashlib.sha256(str(introsort_argsort(keys)).encode()).hexdigest() == digest
