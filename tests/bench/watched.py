"""Run a module and leave behind the most memory that its process had resident, in bytes.

    python -m tests.bench.watched FILE MODULE ARGUMENTS...

Asked from inside: what a parent is told of its child counts the parent's own pages, from before the child
became another program.
"""

import resource
import runpy
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def resident_peak() -> int:
    """In bytes."""
    if STATUS.is_file():
        [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _, file, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    Path(file).write_text(str(resident_peak()))
