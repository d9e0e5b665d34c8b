"""Argsort with the tie order of numpy's scalar introsort, in plain Python.

The published MovieLens split was cut after an *unstable* argsort by timestamp, so the order of events of the
same second is part of the data. numpy has since replaced that sort by vector code whose tie order depends on
the CPU; this twin gives the old order everywhere. Quicksort with the median of three, insertion sort for
short runs, heapsort when the recursion gets too deep (Musser 1997, "Introspective sorting and selection
algorithms").
"""

from collections.abc import Sequence

SMALL_RUN = 16
"""Runs with at most this many elements are finished by insertion sort."""


def introsort_argsort(keys: Sequence[int]) -> list[int]:
    """Indices that sort n integers, ascending; equal keys come out as the old unstable sort left them."""
    order = list(range(len(keys)))
    # (first, last, depth left), both ends included; the larger part waits, the smaller is sorted first.
    waiting = [(0, len(keys) - 1, 2 * (len(keys).bit_length() - 1))] if keys else []
    while waiting:
        first, last, depth = waiting.pop()
        while last - first > SMALL_RUN - 1 and depth >= 0:
            middle = _partition(order, keys, first, last)
            depth -= 1
            left, right = (first, middle - 1), (middle + 1, last)
            if middle - first < last - middle:
                (first, last), later = left, right
            else:
                (first, last), later = right, left
            waiting.append((*later, depth))
        if last - first > SMALL_RUN - 1:
            _heapsort(order, keys, first, last)
        else:
            _insertion_sort(order, keys, first, last)
    return order


def _partition(order: list[int], keys: Sequence[int], first: int, last: int) -> int:
    """Partition order[first..last] around the median of three (Hoare); returns the pivot's final position."""
    middle = first + (last - first) // 2
    for low, high in ((first, middle), (middle, last), (first, middle)):
        if keys[order[high]] < keys[order[low]]:
            order[low], order[high] = order[high], order[low]
    pivot = keys[order[middle]]
    # The ends are sentinels now: no larger element at `first`, no smaller one at `last`.
    i, j = first, last - 1
    order[middle], order[j] = order[j], order[middle]
    while True:
        i += 1
        while keys[order[i]] < pivot:
            i += 1
        j -= 1
        while pivot < keys[order[j]]:
            j -= 1
        if i >= j:
            break
        order[i], order[j] = order[j], order[i]
    order[i], order[last - 1] = order[last - 1], order[i]
    return i


def _insertion_sort(order: list[int], keys: Sequence[int], first: int, last: int) -> None:
    for i in range(first + 1, last + 1):
        index, j = order[i], i
        while j > first and keys[index] < keys[order[j - 1]]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = index


def _heapsort(order: list[int], keys: Sequence[int], first: int, last: int) -> None:
    count = last - first + 1
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(order, keys, first, root, count)
    for end in range(count - 1, 0, -1):
        order[first], order[first + end] = order[first + end], order[first]
        _sift_down(order, keys, first, 0, end)


def _sift_down(order: list[int], keys: Sequence[int], first: int, root: int, count: int) -> None:
    """Restore the max-heap order[first .. first+count-1] below `root` (positions relative to `first`)."""
    index = order[first + root]
    child = 2 * root + 1
    while child < count:
        if child + 1 < count and keys[order[first + child]] < keys[order[first + child + 1]]:
            child += 1
        if not keys[index] < keys[order[first + child]]:
            break
        order[first + root] = order[first + child]
        root, child = child, 2 * child + 1
    order[first + root] = index
