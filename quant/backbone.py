"""Load a frozen causal language model: from a GGUF file, a folder or a hub id, as NF4, bf16 or fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from quant.allocation import keep_memory
from quant.cached import hold_dequantized
from quant.devices import computes_bf16
from quant.direct import answer_directly
from quant.errors import BackboneError
from quant.folder import file_sha256, read_folder, weights_sha256
from quant.gguf import check_is_gguf, read_gguf
from quant.hub import fetch_folder
from quant.nf4 import keep_canonical
from quant.precision import Compute, Precision, Quantization, Weights
from quant.progress import Progress, silent
from quant.store import default_cache, made_once

__all__ = ["Backbone", "Compute", "Quantization", "Weights", "compute_on", "default_device", "load_backbone"]


@dataclass(frozen=True)
class Backbone:
    """A frozen causal language model and what must be known about it.

    Attributes:
        model: eval mode, no parameter requires a gradient.
        tokenizer: the one that belongs to it.
        source: what was asked for (path or hub id).
        sha256: of the weights that were read: the GGUF file, or the safetensors (`weights_sha256`).
        quantization: how the linears are held; embeddings, norms and lm_head are never below bf16.
        compute_dtype: dtype of hidden states: bf16 or fp32 (see `load_backbone`).
        hidden_size: H.
        embedding_norm: mean L2 norm of words as the decoder reads them; soft tokens are scaled to it.
        device: where it lies.
        weights: whether 4-bit weights are dequantized in every product or were once (see `load_backbone`).
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    sha256: str
    quantization: Quantization
    compute_dtype: torch.dtype
    hidden_size: int
    embedding_norm: float
    device: torch.device
    weights: Weights = "nf4"


def load_backbone(
    source: str | Path,
    quantization: Quantization = "nf4",
    device: str | None = None,
    revision: str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    storage: torch.dtype = torch.uint8,
    compute: Compute = "auto",
    weights: Weights = "nf4",
) -> Backbone:
    """Load a backbone, ready for inference or as the frozen base of an adapter.

    Args:
        source: a GGUF file, a folder with safetensors, or a hub id.
        quantization: "nf4" (double quantization), "bf16" or "fp32".
        device: torch device; None is this process's CUDA device if there is one, else the CPU.
        revision: branch, tag or commit of a hub id.
        cache: where what is made from a GGUF is kept; None is `ILORA_CACHE` or the user's cache folder.
        progress: told one sentence when a slow step begins.
        storage: dtype that NF4 words are stored as (`quant.precision`).
        compute: what NF4 computes with: "auto" is bf16 where the hardware has it and fp32 elsewhere, with the
            same weights (`quant.precision`). The other two quantizations compute in what they are held in.
        weights: "cached" holds the values that NF4 weights stand for, dequantized once: the same answers,
            faster for short inputs, for 2 (bf16) or 4 (fp32) bytes per weight instead of half a byte.

    Raises:
        BackboneError: unknown source, unreadable weights, unknown quantization or device.
    """
    target = _device(device)
    if target.type == "cpu":
        keep_memory()
    precision = Precision(quantization, storage, compute_on(target) if compute == "auto" else compute)
    tell = progress or silent
    path = Path(source).expanduser()
    with _quiet_transformers():
        if path.is_file():
            folder, sha256 = _from_gguf(path, precision, cache or default_cache(), tell)
        else:
            folder = path if path.is_dir() else fetch_folder(source, revision, tell)
            sha256 = weights_sha256(folder)
        tell(f"Loading the backbone as {quantization} on {target}.")
        model, tokenizer = read_folder(folder, precision, target)
    model.requires_grad_(False)
    model.eval()
    keep_canonical(model)
    answer_directly(model)
    if weights == "cached":
        tell("Holding the 4-bit weights dequantized.")
        hold_dequantized(model, precision.compute_dtype)
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        source=str(source),
        sha256=sha256,
        quantization=quantization,
        compute_dtype=precision.compute_dtype,
        hidden_size=model.config.get_text_config().hidden_size,
        embedding_norm=_embedding_norm(model),
        device=target,
        weights=weights,
    )


def compute_on(device: torch.device) -> Literal["bf16", "fp32"]:
    """What "auto" computes with on a device."""
    return "bf16" if computes_bf16(device) else "fp32"


def default_device() -> torch.device:
    """This process's CUDA device (the first, where none was chosen) if there is one, else the CPU."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def _from_gguf(gguf: Path, precision: Precision, cache: Path, tell: Progress) -> tuple[Path, str]:
    """The folder to load for a GGUF file, made now if the cache has none, and the file's sha256.

    The NF4 form is kept too: quantizing takes ten times as long as reading the result, and what is read has
    the same bits on every device.
    """
    check_is_gguf(gguf)
    sha256 = file_sha256(gguf)
    plain = cache / "backbones" / f"gguf-{sha256[:16]}"

    def convert() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        tell(f"Converting {gguf.name} to safetensors (once).")
        return read_gguf(gguf)

    def quantize() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        folder = made_once(plain, sha256, convert)
        tell(f"Quantizing {gguf.name} to NF4 (once).")
        return read_folder(folder, Precision("nf4", precision.storage), torch.device("cpu"))

    if precision.name != "nf4":
        return made_once(plain, sha256, convert), sha256
    return made_once(plain.with_name(f"{plain.name}-{precision.key}"), sha256, quantize), sha256


def _device(name: str | None) -> torch.device:
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackboneError(f'"{name}" is not a device: use "cpu", "cuda" or "cuda:1".') from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BackboneError(f'Device "{name}" was asked for, but torch sees no CUDA device: use "cpu".')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackboneError(f'Device "{name}" was asked for, but there are {torch.cuda.device_count()}.')
    return device


def _embedding_norm(model: PreTrainedModel) -> float:
    # By the module, not by its weight (Gemma's scales what it looks up), and in parts: a whole vocabulary in
    # float32 may be larger than all of the 4-bit weights.
    embedding = model.get_input_embeddings()
    words = torch.arange(embedding.num_embeddings, device=embedding.weight.device)
    with torch.no_grad():
        norms = [embedding(part).float().norm(dim=-1) for part in torch.split(words, 4096)]
    return float(torch.cat(norms).mean())


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars of the library: `progress` tells what is going on."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
