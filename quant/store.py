"""Folders that are made once and kept: weights converted or quantized by us, in the cache.

A folder appears by one rename, after its bytes are on disk and were read back; a kill at any moment leaves
either nothing or all of it, and two processes that want the same folder wait for one another.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock
from platformdirs import user_cache_dir
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from quant.errors import BackboneError

FORMAT = 1
"""Raise it when what is stored changes: older folders are then made again."""

_RECORD = "made.json"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class _Record:
    """Written last, beside the weights: what the folder was made from, and by which versions."""

    format: int
    made_from: str
    bytes: int
    transformers: str
    bitsandbytes: str


def default_cache() -> Path:
    """`ILORA_CACHE`, else the user's cache folder."""
    own = os.environ.get("ILORA_CACHE", "").strip()
    return Path(own).expanduser() if own else Path(user_cache_dir("ilora"))


def made_once(
    folder: Path, made_from: str, make: Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]
) -> Path:
    """`folder` with a model and its tokenizer, as safetensors and JSON: by `make` when it is not there yet.

    Args:
        folder: where; its parent is created.
        made_from: sha256 of the weights it derives from.
        make: gives what to store.

    Raises:
        BackboneError: the cache cannot be written, or what was written does not read back the same.
    """
    if _is_whole(folder, made_from):  # before the lock: a filled cache may lie on a read-only disk
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if not _is_whole(folder, made_from):  # another process may have made it while we waited
                partial = folder.parent / f"{folder.name}.partial"
                shutil.rmtree(partial, ignore_errors=True)  # of a killed process: we hold the lock
                _write(partial, made_from, *make())
                shutil.rmtree(folder, ignore_errors=True)  # of an older format, or damaged by someone
                partial.replace(folder)
                _fsync(folder.parent)
    except OSError as error:
        raise BackboneError(
            f"The backbone cache {folder.parent} cannot be written ({error.strerror or error}):"
            " free some space or set ILORA_CACHE to another folder."
        ) from error
    return folder


def _is_whole(folder: Path, made_from: str) -> bool:
    # Contents were checked before the rename; the size catches a file cut by a full disk or a bad copy.
    record, weights = folder / _RECORD, folder / _WEIGHTS
    if not (record.is_file() and weights.is_file()):
        return False
    told = json.loads(record.read_text())
    found = {"format": FORMAT, "made_from": made_from, "bytes": weights.stat().st_size}
    return bool({key: told.get(key) for key in found} == found)


def _write(folder: Path, made_from: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)
    weights = folder / _WEIGHTS
    _check_read_back(weights, model)
    record = _Record(
        FORMAT, made_from, weights.stat().st_size, version("transformers"), version("bitsandbytes")
    )
    (folder / _RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n")
    for path in (*folder.iterdir(), folder):
        _fsync(path)


def _check_read_back(weights: Path, model: PreTrainedModel) -> None:
    state = model.state_dict()
    with safe_open(weights, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (a safetensors handle is not a dict)
            if not torch.equal(_bits(file.get_tensor(name)), _bits(state[name].cpu())):
                raise BackboneError(f"Tensor {name} reads back from {weights} changed: check the disk.")


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    # 4-bit words stored as floats may look like NaN, which equals nothing.
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
