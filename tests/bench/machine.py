"""The machine that a number comes from, in the words of its row."""

import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from quant.devices import cpu_fields, devices

SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Instruction sets that decide which kernels run."""


@dataclass(frozen=True)
class Machine:
    """Attributes: `threads` torch computes with; `sets` those of `SETS` that the processor has."""

    cpu: str
    cores: int
    threads: int
    memory_gb: float
    sets: tuple[str, ...]
    torch: str
    python: str
    system: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @property
    def sentence(self) -> str:
        """For a table's caption."""
        missing = [f"no {name}" for name in SETS if name not in self.sets]
        return (
            f"{self.cpu}, {self.cores} cores ({self.threads} threads), {self.memory_gb:.0f} GB,"
            f" {', '.join((*self.sets, *missing))}; torch {self.torch}, Python {self.python}"
        )


def this_machine() -> Machine:
    """Look."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpu_fields(cpuinfo.read_text())[1] if cpuinfo.exists() else frozenset()
    found = devices()
    return Machine(
        cpu=found.cpu,
        cores=found.cores,
        threads=torch.get_num_threads(),
        memory_gb=round(found.memory / 2**30, 1),
        sets=tuple(name for name in SETS if name in flags),
        torch=torch.__version__,
        python=platform.python_version(),
        system=platform.system(),
    )
