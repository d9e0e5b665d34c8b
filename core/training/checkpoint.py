"""Checkpoints of safetensors and JSON only: written aside, flushed, read back, put in place by one rename."""

import errno
import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.errors import RunError

WEIGHTS, OPTIMIZER, RANDOM, STATE, FILES, WHOLE = (
    "trainable.safetensors",
    "optimizer.safetensors",
    "random.safetensors",
    "state.json",
    "files.json",
    "trainer_state.json",
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_STEP = re.compile(r"checkpoint-(\d+)")


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter that trains, by name, in its own dtype, detached on the CPU."""
    return {n: p.detach().cpu().contiguous() for n, p in model.named_parameters() if p.requires_grad}


def load_trainable(model: nn.Module, folder: Path) -> None:
    """Read trained parameters back into a model. Raises RunError when names or shapes do not fit."""
    stored = _tensors(folder / WEIGHTS)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if stored.keys() != parameters.keys():
        odd = sorted(stored.keys() ^ parameters.keys())[0]
        raise RunError(
            f'{folder} was written by another kind of run: parameter "{odd}" is in only one of the two.'
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            if stored[name].shape != parameter.shape:
                raise RunError(
                    f"{folder}: {name} has shape {list(stored[name].shape)}, not {list(parameter.shape)}."
                )
            parameter.copy_(stored[name])


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scheduler: dict[str, Any] | None,
    trainer_state: str,
    generators: Sequence[dict[str, Tensor]] | None = None,
) -> None:
    """Write `folder` beside its siblings; a kill at any moment leaves the old state or the new one, whole.

    Args:
        generators: of each process that trains, in the order of ranks, what `random_tensors` gave there; None
            is this process alone.

    Raises:
        RunError: there is no room, or the disk gives back other bytes than were written.
    """
    temporary = folder.with_name(f".{folder.name}.partial")
    with _room_for(folder, temporary):
        _write(temporary, model, optimizer, scheduler, trainer_state, generators or [random_tensors()])
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
        _flush(folder.parent)


def _write(
    temporary: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scheduler: dict[str, Any] | None,
    trainer_state: str,
    generators: Sequence[dict[str, Tensor]],
) -> None:
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tensors = {
        WEIGHTS: trainable_state(model),
        RANDOM: {_of(name, rank): t for rank, held in enumerate(generators) for name, t in held.items()},
    }
    state: dict[str, Any] = {"scheduler": scheduler, "random": _random_state()}
    if optimizer is not None:
        tensors[OPTIMIZER], state["scalars"], state["optimizer"] = _optimizer_state(optimizer)
    for name, content in tensors.items():
        save_file(content, temporary / name)
        back = _tensors(temporary / name)
        if any(not torch.equal(back[key], value) for key, value in content.items()):
            raise RunError(f"{temporary / name} did not read back as written: check the disk.")
    (temporary / STATE).write_text(json.dumps(state))
    digests = {path.name: _sha256(path.read_bytes()) for path in sorted(temporary.iterdir())}
    digests[WHOLE] = _sha256(trainer_state.encode())
    (temporary / FILES).write_text(json.dumps(digests, indent=2))
    # The trainer's own state comes last: a folder that has it was written to its end.
    (temporary / WHOLE).write_text(trainer_state, encoding="utf-8")
    for path in (*temporary.iterdir(), temporary):
        _flush(path)


@contextmanager
def _room_for(folder: Path, temporary: Path) -> Iterator[None]:
    """A full disk becomes one sentence, and what was half written is removed."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if not _is_full(error):
            raise
        shutil.rmtree(temporary, ignore_errors=True)
        kept = checkpoints(folder.parent)
        last = f"{kept[-1].name} is whole" if kept else "there is no earlier checkpoint"
        raise RunError(
            f"There is no room to write {folder} ({last}): free some space, then go on with --resume."
        ) from error


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return any(f"(os error {number})" in str(error) for number in _NO_ROOM)  # safetensors' words for the same


def damage(folder: Path) -> str | None:
    """The first file of a checkpoint that is missing or not as it was written; None if it is whole."""
    try:
        digests: dict[str, str] = json.loads((folder / FILES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return FILES
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file() or _sha256(path.read_bytes()) != digest:
            return name
    return None


def newest_whole(run: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is as it was written; those passed over are said. None if there is none."""
    for path in reversed(checkpoints(run)):
        broken = damage(path)
        if broken is None:
            return path
        say(f"{path.name} is damaged ({broken} is not as it was written): going on from an earlier one.")
    return None


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> dict[str, Any] | None:
    """Restore the optimizer; returns the scheduler's state."""
    state = json.loads((folder / STATE).read_text())
    tensors = _tensors(folder / OPTIMIZER)
    moments: dict[int, dict[str, Any]] = {}
    for index, scalars in state.get("scalars", {}).items():
        moments[int(index)] = dict(scalars)
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": state["optimizer"]})
    scheduler: dict[str, Any] | None = state["scheduler"]
    return scheduler


def random_tensors() -> dict[str, Tensor]:
    """States of this process's torch generators, of the CPU and of its GPU."""
    held = {"torch": torch.get_rng_state()}
    return held | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else held


def _of(name: str, rank: int) -> str:
    """Names a generator of one process; those of the first have their plain names."""
    return f"{name}.{rank}" if rank else name


def load_random_state(folder: Path, rank: int = 0) -> None:
    """Put every random generator of a process back to where the checkpoint found it."""
    tensors = _tensors(folder / RANDOM)
    torch.set_rng_state(tensors[_of("torch", rank)])
    if _of("cuda", rank) in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[_of("cuda", rank)])
    stored = json.loads((folder / STATE).read_text())["random"]
    version, internal, gauss = stored["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = stored["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))


def checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run, newest last. Unfinished ones (killed while writing) are not listed."""
    found = [(int(m.group(1)), p) for p in run.glob("checkpoint-*") if (m := _STEP.fullmatch(p.name))]
    return [path for _, path in sorted(found) if (path / WHOLE).is_file()]


def prune(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what killed processes left unfinished."""
    for path in checkpoints(run)[:-keep]:
        shutil.rmtree(path)
    for path in run.glob(".checkpoint-*.partial"):
        shutil.rmtree(path)


def _optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[int, dict[str, int | float]], list[dict[str, Any]]]:
    """Tensors by "parameter.name", plain numbers by parameter and name, and the groups."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    scalars: dict[int, dict[str, int | float]] = {}
    for index, moments in state["state"].items():
        for name, value in _unwrapped(moments).items():
            if isinstance(value, Tensor):
                # Cloned: 8-bit states share their code tables, and safetensors refuses shared memory.
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous().clone()
            else:
                scalars.setdefault(index, {})[name] = value
    return tensors, scalars, state["param_groups"]


def _unwrapped(moments: dict[str, Any]) -> dict[str, Any]:
    """bitsandbytes hides its 8-bit tensors from FSDP in a dictionary of their own."""
    inner = [value for value in moments.values() if isinstance(value, dict)]
    flat = {name: value for name, value in moments.items() if not isinstance(value, dict)}
    return flat | {name: value for part in inner for name, value in part.items()}


def _random_state() -> dict[str, Any]:
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": list(random.getstate()),
        "numpy": [name, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
    }


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise RunError(f"{path} is missing or damaged: resume from an earlier checkpoint.") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
