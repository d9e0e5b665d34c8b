"""Writing a bundle: from trained parts in memory and on disk to one checked folder."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from core.adapter_storage import component_axis, from_eight_bits, in_eight_bits
from core.collaborative import Stack
from core.errors import BundleError
from core.gate import Gate
from core.training.prepare import Prepared
from exports.bundle_check import file_info, verify_bundle
from exports.bundle_info import CARD, INFO, PROJECTOR, ROUTER, Adapter, BundleInfo
from exports.model_card import render_card
from exports.onnx_router import export_router

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
GATE_PREFIX = "base_model.experts_gate."


@dataclass(frozen=True)
class AdapterParts:
    """One trained adapter.

    Attributes:
        folder: what `PeftModel.save_pretrained` wrote for it.
        space: state of its `core.item_space.ItemSpace`.
        branch: state of its `core.ranking_model.BranchHead`.
    """

    folder: Path
    space: Mapping[str, Tensor]
    branch: Mapping[str, Tensor]


def save_bundle(
    path: Path,
    info: BundleInfo,
    prepared: Prepared,
    adapters: Mapping[Adapter, AdapterParts],
    retrieve: int = 100,
    stack: Stack | None = None,
    small: bool = False,
) -> BundleInfo:
    """Write a bundle folder, verify it, and only then put it in the place of an older one.

    Args:
        path: the folder.
        info: everything but `files`, which is filled in here.
        prepared: encoder and item features that all adapters were trained over.
        adapters: those that `info` describes. The router gets the gate of the one with experts.
        retrieve: C, how many items the router retrieves.
        stack: what is added to the encoder's scores; None: they stand alone.
        small: adapters in eight bits and item spaces in half precision: half the size, but other programs
            that read PEFT folders cannot read them.

    Returns:
        The info as saved.

    Raises:
        BundleError: parts and info do not fit together, or the written folder does not verify.
    """
    path = Path(path)
    if set(adapters) != set(info.adapters):
        raise BundleError(
            f"A bundle that describes {sorted(info.adapters)} cannot be saved with {sorted(adapters)}."
        )
    with _unfinished(path) as folder:
        for name, parts in adapters.items():
            _copy_adapter(parts.folder, folder / name, info.backbone.asset, small)
        gates = [gate for name in adapters if (gate := read_gate(folder / name)) is not None]
        if len(gates) > 1:
            raise BundleError("A bundle has one router, so only one of its adapters can have experts.")
        export_router(prepared.encoder, gates[0] if gates else None, folder / ROUTER, retrieve)
        _save_tensors(folder / PROJECTOR, _projector(prepared, adapters, stack, small))
        (folder / CARD).write_text(render_card(info), encoding="utf-8")
        return _write_info(folder, info)


def update_bundle(path: Path, **changes: object) -> BundleInfo:
    """Change fields of a bundle's info (metrics, blend weights) and its card with them, no weights.

    Raises:
        BundleError: the bundle does not verify.
    """
    path = Path(path)
    info = verify_bundle(path).with_(**changes)
    with _unfinished(path) as folder:
        shutil.copytree(path, folder, dirs_exist_ok=True)
        (folder / CARD).write_text(render_card(info), encoding="utf-8")
        return _write_info(folder, info)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A folder to write in; it takes the place of `path` if nothing was raised and it verifies."""
    folder = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        verify_bundle(folder)
        _replace(path, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_adapter(source: Path, target: Path, base: str, small: bool) -> None:
    """Copy a PEFT folder, LoRA matrices as `stored_adapter` has them; the base model by its name, not by a
    local path."""
    config_path, weights_path = source / ADAPTER_CONFIG, source / ADAPTER_WEIGHTS
    if not config_path.is_file() or not weights_path.is_file():
        raise BundleError(f"{source} is not a PEFT folder: it needs {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}.")
    target.mkdir()
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base, "inference_mode": True, "revision": None}
    (target / ADAPTER_CONFIG).write_text(_json(config), encoding="utf-8")
    _save_tensors(target / ADAPTER_WEIGHTS, stored_adapter(source, small))


def stored_adapter(folder: Path, small: bool = False) -> dict[str, Tensor]:
    """An adapter's tensors as a bundle holds them: LoRA matrices in bf16, in eight bits in a small one.

    The gate keeps fp32: it is the same gate as in the ONNX graph, and tiny. What lies in eight bits already
    stays so.
    """
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    if small:
        return in_eight_bits(from_eight_bits(tensors))

    def rounded(key: str, value: Tensor) -> Tensor:
        low_rank = component_axis(key) is not None and value.is_floating_point()
        return value.to(torch.bfloat16) if low_rank else value

    return {key: rounded(key, value) for key, value in tensors.items()}


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Not `save_file`: only the owner can read what that writes, and a server may run as another user."""
    path.write_bytes(save(dict(tensors), metadata={"format": "pt"}))


def read_gate(folder: Path) -> Gate | None:
    """The gate that an adapter folder holds, None for plain LoRA: the router must agree with the adapter.

    Raises:
        BundleError: the adapter mixes each layer differently, which the router does not do yet.
    """
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if config.get("num_experts", 1) == 1:
        return None
    if config["gate"] != "shared":
        raise BundleError(f'{folder} has gate="{config["gate"]}"; bundles hold adapters with gate="shared".')
    gate = Gate(
        width=config["gate_width"],
        num_experts=config["num_experts"],
        hidden=config["gate_hidden"],
        temperature=config["gate_temperature"],
    )
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    gate.load_state_dict(
        {
            key.removeprefix(GATE_PREFIX): tensor
            for key, tensor in tensors.items()
            if key.startswith(GATE_PREFIX)
        }
    )
    return gate


def _projector(
    prepared: Prepared, adapters: Mapping[Adapter, AdapterParts], stack: Stack | None, small: bool
) -> dict[str, Tensor]:
    features = prepared.features

    def own(value: Tensor) -> Tensor:
        return value.half() if small and value.is_floating_point() else value

    tensors = {
        "items.collaborative": features.collaborative,
        # Standardised readings of a bf16 model: half precision loses nothing and halves the largest table.
        "items.text": features.text.half(),
        "items.text_mean": prepared.text_space.mean,
        "items.text_basis": prepared.text_space.basis,
        "items.known": features.known,
        "items.popularity": prepared.popularity,
        "items.title_prior": prepared.title_prior,
    }
    if features.scale is not None:
        tensors["items.scale"] = torch.tensor(features.scale, dtype=torch.float64)
    if stack is not None:
        tensors |= stack.tensors()
    for name, parts in adapters.items():
        tensors |= {f"{name}.space.{key}": own(value) for key, value in parts.space.items()}
        tensors |= {f"{name}.branch.{key}": own(value) for key, value in parts.branch.items()}
    # Clones: safetensors refuses tensors that share memory or are not contiguous.
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def _write_info(folder: Path, info: BundleInfo) -> BundleInfo:
    files = {
        file.relative_to(folder).as_posix(): file_info(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / INFO
    }
    saved = info.model_copy(update={"files": files})
    (folder / INFO).write_text(_json(saved.model_dump(mode="json")), encoding="utf-8")
    return saved


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _replace(path: Path, unfinished: Path) -> None:
    """Swap folders by two renames; the old one goes only after the new one is in place."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(unfinished, path)
    shutil.rmtree(old, ignore_errors=True)
