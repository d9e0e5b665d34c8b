"""Freed memory stays with the process, and its pages need not be cleared again."""

import subprocess
import sys

import pytest

from quant.allocation import BLOCK

FAULTS = f"""
import resource, sys, torch
from quant.allocation import keep_memory
if sys.argv[1] == "kept":
    assert keep_memory()
torch.set_num_threads(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def states():
    # What a pass does: a few large tensors at once, then all of them given back.
    return sum(float(t[0]) for t in [torch.ones({BLOCK} // 5) for _ in range(6)])
before = faults()
for _ in range(20):
    states()
print(faults() - before)
"""


def _faults(how: str) -> int:
    found = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told to keep memory")
def test_large_tensors_are_made_in_pages_that_are_there() -> None:
    fresh, kept = _faults("fresh"), _faults("kept")
    assert kept < fresh / 1.3
