"""What this machine has, what is missing, and what to do about it: the findings behind `ilora doctor`.

Each check is a function without arguments that looks at one thing and yields findings; none changes anything,
and none needs the network.
"""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from core.assets import cache_root, list_assets
from core.errors import BundleError
from exports.bundle_check import verify_bundle
from exports.bundle_info import DEFAULT_BUNDLE
from quant.devices import devices

Status = Literal["ok", "warn", "fail"]

GIB = 2**30
SERVING_MEMORY = 2 * GIB  # what the serving process is promised to stay under
CACHE_SPACE = 1 * GIB  # backbone, its converted copy, the data, and room for downloads in flight
PYTHON_RANGE = ((3, 11), (3, 13))


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report: "fail" means that the product cannot run without it."""

    name: str
    status: Status
    found: str
    advice: str = ""


def checkup() -> list[Finding]:
    """Every finding, in the order a person would mend them."""
    checks = (_python, _packages, _processor, _memory, _cuda, _cache, _assets, _bundle)
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    low, high = PYTHON_RANGE
    good = low <= sys.version_info[:2] < high
    advice = "" if good else "Use Python 3.11 or 3.12: delete .venv, then run `make demo`."
    yield Finding("Python", "ok" if good else "fail", platform.python_version(), advice)


def _packages() -> Iterator[Finding]:
    """The pins of requirements.txt, as this installation of ilora carries them, against what is installed."""
    try:
        requirements = importlib.metadata.requires("ilora") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            "packages",
            "warn",
            "the package itself is not installed",
            "Run `pip install -e .` or `make install`.",
        )
        return
    missing, other = [], []
    for requirement in requirements:
        name, _, pinned = requirement.partition("==")
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if (
            installed.split("+")[0] != pinned
        ):  # "+cpu" says where a torch build comes from, not which version it is
            other.append(f"{name} {installed} instead of {pinned}")
    advice = "Run `make install`, or `pip install -r requirements.txt`."
    if missing:
        yield Finding("packages", "fail", f"missing: {', '.join(missing)}", advice)
    if other:
        yield Finding("packages", "warn", f"not the tested version: {', '.join(other)}", advice)
    if not missing and not other:
        yield Finding("packages", "ok", f"all {len(requirements)} at the tested version")
    for name in ("torch", "transformers", "peft", "bitsandbytes", "onnxruntime", "gradio"):
        if name not in missing:
            yield Finding(name, "ok", importlib.metadata.version(name))


def _processor() -> Iterator[Finding]:
    found = devices()
    flags = {"AVX512": found.avx512f, "AVX512-BF16": found.avx512_bf16, "AMX": found.amx}
    has = ", ".join(name for name, present in flags.items() if present) or "no AVX512"
    slow = not found.avx512f and not found.cuda
    native = found.cuda[0].bf16 if found.cuda else found.avx512_bf16 or found.amx
    yield Finding(
        "processor",
        "warn" if slow else "ok",
        f"{found.cpu}: {has}; 4-bit layers compute in {'bf16' if native else 'fp32'}",
        "Works, but 4-bit layers run without their fast CPU kernels: answers take longer." if slow else "",
    )
    threads = os.environ.get("OMP_NUM_THREADS", "")
    limit = f", OMP_NUM_THREADS={threads}" if threads else ""
    yield Finding("cores", "ok", f"{found.cores} usable{limit}")


def _memory() -> Iterator[Finding]:
    available, total = psutil.virtual_memory().available, devices().memory
    tight = available < SERVING_MEMORY
    yield Finding(
        "memory",
        "warn" if tight else "ok",
        f"{available / GIB:.1f} of {total / GIB:.1f} GiB available",
        f"Serving may take up to {SERVING_MEMORY / GIB:.0f} GiB: close something first." if tight else "",
    )


def _cuda() -> Iterator[Finding]:
    if not (found := devices().cuda):
        yield Finding("CUDA", "ok", "no device; the CPU is used")
    for device in found:
        bf16 = "bf16" if device.bf16 else "no bf16"
        memory = f"{device.memory_free / GIB:.1f} of {device.memory_total / GIB:.1f} GiB free"
        yield Finding(f"CUDA {device.index}", "ok", f"{device.name}, {memory}, {bf16}")


def _cache() -> Iterator[Finding]:
    root = cache_root()
    existing = _nearest_existing(root)
    free = shutil.disk_usage(existing).free
    status: Status = "ok"
    advice = ""
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        status, advice = "fail", "Set ILORA_CACHE to a folder that you can write."
    elif free < CACHE_SPACE:
        status, advice = (
            "warn",
            f"Make {CACHE_SPACE / GIB:.0f} GiB of room, or set ILORA_CACHE to another disk.",
        )
    yield Finding("cache", status, f"{root}, {free / GIB:.1f} GiB free", advice)


def _nearest_existing(path: Path) -> Path:
    """The folder itself or the closest one above it that exists: where it would be created."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _assets() -> Iterator[Finding]:
    for asset in list_assets():
        name = f"{asset.kind} {asset.name}"
        if not asset.how:
            place = "cached" if asset.cached else f"in {asset.path}"
            yield Finding(name, "ok", f"{place}, {asset.licence}")
        elif not asset.optional:
            size = f", {asset.size_bytes / 2**20:.0f} MiB" if asset.size_bytes else ""
            yield Finding(
                name,
                "warn",
                f"not fetched yet{size}",
                f"Run `ilora data fetch {asset.name}`, or it is fetched on first use.",
            )


def _bundle() -> Iterator[Finding]:
    try:
        info = verify_bundle(DEFAULT_BUNDLE)
    except BundleError as error:
        yield Finding("bundle", "fail", f"{DEFAULT_BUNDLE.name} cannot be used", str(error))
    else:
        yield Finding("bundle", "ok", f"{info.name}: every file is what its sha256 says")
