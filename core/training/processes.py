"""The processes that train one run together: who is first, what he tells the others, what all agree on.

Started by `core.training.launch`, `accelerate launch` or `torchrun`: all three say by the environment who is
who. One process alone is a team of one, for whom everything here does nothing.
"""

import atexit
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState

from core.errors import PeerEnded

T = TypeVar("T")
PATIENCE = timedelta(days=1)
"""How long one waits for another. An encoder may train for hours in the first process alone, and a process
that has died is noticed by the launcher and by its broken connections, not by a clock."""
SEED_STRIDE = 1_000_003
"""Between the seeds of two processes; prime and large, so that no run's seed is another's process."""
_GONE = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|remote process exited|socket closed", re.IGNORECASE
)


@dataclass(frozen=True)
class Team:
    """All processes of a run, seen from one of them.

    Attributes:
        rank: which one this is; 0 is the first, who alone writes and speaks.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def told(self, value: T) -> T:
        """The first one's value, known by all from here on."""
        if self.count == 1:
            return value
        box = [value if self.first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """Everyone's value in the order of ranks, known by all."""
        if self.count == 1:
            return [value]
        box: list[T | None] = [None] * self.count
        dist.all_gather_object(box, value)
        return box  # type: ignore[return-value]

    def any(self, flag: bool) -> bool:
        """Whether it holds for anyone: what all must do together is decided so."""
        if self.count == 1:
            return flag
        votes = torch.tensor(int(flag), device=PartialState().device)
        dist.all_reduce(votes)
        return bool(votes)

    def wait(self) -> None:
        """Until everyone has come here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The first does it alone (and fills caches), then the others do it together."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def seed(self, seed: int) -> int:
        """This process's own: dropout must not strike the same places of everyone's rows."""
        return seed + SEED_STRIDE * self.rank


def started() -> int:
    """How many processes were started together, by the launcher's environment (WORLD_SIZE)."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def is_first() -> bool:
    """Whether this process speaks for all, by the launcher's environment (RANK)."""
    return int(os.environ.get("RANK") or 0) == 0


@contextmanager
def joined() -> Iterator[Team]:
    """The team of this process: its GPU chosen (LOCAL_RANK), connected to the others (NCCL, gloo on CPUs).

    Raises:
        PeerEnded: another process ended while this one waited for it.
    """
    if started() == 1:
        yield Team()
        return
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    try:
        yield Team(state.process_index, state.num_processes)
    except RuntimeError as error:
        if _GONE.search(str(error)) is None:
            raise
        raise PeerEnded(
            f"Process {state.process_index} stopped, as another process of this run has ended: see what "
            "that one said, then go on from the last checkpoint with --resume."
        ) from error
    dist.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End this process; one of a team ends without taking the interpreter apart.

    gloo's worker threads outlive `destroy_process_group`, as a sharded backbone holds on to the group. One
    that lets go of a tensor while the interpreter is taken apart aborts the process (SIGABRT), and a finished
    run would be told as a killed one. Exit handlers run, and what was printed is written.

    Args:
        code: the exit code, that of an error too.
    """
    if started() == 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
