"""Memory that one pass gives back is kept for the next."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BLOCK = 32 << 20
"""Bytes up to which a tensor comes from kept memory; glibc allows no more."""
KEPT = 512 << 20
"""Bytes that are kept at most when nothing uses them."""


def keep_memory() -> bool:
    """Let the C library keep freed memory instead of returning it after every layer; False where it cannot.

    A hidden state of many positions is larger than what glibc keeps by itself: each one came from the
    operating system anew, whose pages are cleared one by one, which takes longer than small products.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, KEPT))
