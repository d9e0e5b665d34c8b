"""Facts about this machine's processors that decide which kernels run: shown by `ilora doctor`.

Reads the operating system first; torch is asked only about CUDA, and only when a driver is present.
"""

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_CPUINFO = Path("/proc/cpuinfo")
_NVIDIA_DRIVER = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))


@dataclass(frozen=True)
class CudaDevice:
    """One CUDA device. Memory in bytes."""

    index: int
    name: str
    memory_total: int
    memory_free: int
    bf16: bool


@dataclass(frozen=True)
class Devices:
    """What the machine offers.

    Attributes:
        cpu: model name as the system gives it.
        cores: cores this process may use (respects affinity, thus most containers).
        memory: physical memory in bytes.
        avx512f: wide vectors; bitsandbytes' fast 4-bit CPU kernels need it.
        avx512_bf16: bf16 dot products; also the flag behind the packing trap (see `quant.nf4`).
        amx: bf16 matrix tiles; None of these three is known outside Linux and reads False there.
        cuda: devices torch can use, in torch's order; empty without a driver or with a CPU build of torch.
    """

    cpu: str
    cores: int
    memory: int
    avx512f: bool
    avx512_bf16: bool
    amx: bool
    cuda: tuple[CudaDevice, ...]


def cpu_fields(cpuinfo: str) -> tuple[str, frozenset[str]]:
    """Model name and flags of the first processor in the text of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in cpuinfo.split("\n\n", 1)[0].splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", ""), frozenset(fields.get("flags", "").split())


@cache
def devices() -> Devices:
    """Look once; free CUDA memory is as of that look."""
    name, flags = cpu_fields(_CPUINFO.read_text()) if _CPUINFO.exists() else ("", frozenset[str]())
    return Devices(
        cpu=name or platform.processor() or platform.machine(),
        cores=_usable_cores(),
        memory=_physical_memory(),
        avx512f="avx512f" in flags,
        avx512_bf16="avx512_bf16" in flags,
        amx="amx_tile" in flags and "amx_bf16" in flags,
        cuda=_cuda_devices() if any(path.exists() for path in _NVIDIA_DRIVER) else (),
    )


def computes_bf16(device: "torch.device") -> bool:
    """Whether bf16 products run in hardware there.

    Without it they are emulated: on a CPU with AVX2 only, eight times slower than fp32 (measured, 2 cores of
    an AMD EPYC of 2021).
    """
    if device.type == "cuda":
        return devices().cuda[device.index or 0].bf16
    return device.type == "cpu" and (devices().avx512_bf16 or devices().amx)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _physical_memory() -> int:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cuda_devices() -> tuple[CudaDevice, ...]:
    import torch  # a second of import: only paid where a driver is installed

    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        with torch.cuda.device(index):
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        found.append(CudaDevice(index, torch.cuda.get_device_name(index), total, free, bf16))
    return tuple(found)
