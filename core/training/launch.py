"""Start one command several times as a team, with the launcher that `accelerate launch` and torchrun use."""

import logging
import os
import signal
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from core.errors import RunError

INTERRUPTED = 130
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE = 120
"""Seconds between asking a process to stop and killing it: a step, a validation and a checkpoint."""


def launch(command: Sequence[str], processes: int, threads: int) -> int:
    """Run `command` in so many processes of this machine; they find each other by the environment.

    What they print is printed. When one fails, the others are ended. An interrupt is passed on to all, once.
    To be called from the main thread, where signals arrive.

    Args:
        command: program and arguments.
        threads: OMP_NUM_THREADS of each, unless it is set.

    Returns:
        0, or the exit code of the process that failed and has said why; 130 when interrupted.

    Raises:
        RunError: a process was killed, so nobody said why.
    """
    elastic = logging.getLogger("torch.distributed.elastic")  # what it would say, the processes have said
    elastic.addHandler(logging.NullHandler())
    elastic.propagate = False
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # What the parent has made this process ignore (nohup, a background job) stays ignored.
    handlers = {n: handler for n in PASSED_ON if (handler := signal.getsignal(n)) != signal.SIG_IGN}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        shutdown_timeout=GRACE,
        signals_to_handle=",".join(number.name for number in handlers),
    )
    program, *arguments = command
    try:
        elastic_launch(config, program)(*arguments)
    except SignalException:
        return INTERRUPTED
    except ChildFailedError as failed:
        return _exit_code({rank: failure.exitcode for rank, failure in failed.failures.items()})
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def _exit_code(codes: dict[int, int]) -> int:
    """Of the team, from those of its processes (negative: the signal that killed it)."""
    said = [code for _, code in sorted(codes.items()) if code > 0]
    killed = {rank: signal.Signals(-code) for rank, code in sorted(codes.items()) if code < 0}
    # SIGTERM is how the launcher ends those that are left over.
    unasked = {rank: number for rank, number in killed.items() if number != signal.SIGTERM}
    if said and not unasked:
        return said[0]
    rank, number = next(iter((unasked or killed).items()))
    raise RunError(
        f"Process {rank} was killed ({number.name}) and the others were ended: go on from the last "
        "checkpoint with --resume."
    )
