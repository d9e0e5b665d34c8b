"""Read a model folder: config.json, safetensors and a tokenizer. Nothing is unpickled, no code is run."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from quant.errors import BackboneError, first_line
from quant.nf4 import compute_in, is_nf4, nf4_config
from quant.precision import Precision


def file_sha256(path: Path) -> str:
    """Hex sha256 of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """One hash for a folder's safetensors: of the file, or of the shards' hashes in name order.

    Raises:
        BackboneError: the folder holds no config.json or no safetensors.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        raise BackboneError(f"{folder} holds no backbone: config.json and *.safetensors are needed.")
    hashes = [file_sha256(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def read_folder(
    folder: Path, precision: Precision, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A folder's causal language model, quantized on the way unless it already is, and its tokenizer.

    Raises:
        BackboneError: unreadable, weights missing, or already quantized otherwise than asked.
    """
    options: dict[str, Any] = {"dtype": precision.load_dtype, "device_map": {"": device}}
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if _needs_quantizing(config, precision, folder):
            options["quantization_config"] = nf4_config(precision.load_dtype, precision.storage)
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        raise BackboneError(
            f"{folder} cannot be loaded as a causal language model: {first_line(error)}"
        ) from error
    if missing := sorted(loading["missing_keys"]):
        # transformers would go on with random values in their place.
        raise BackboneError(f"{folder} lacks {len(missing)} weights of its model, such as {missing[0]}.")
    if precision.compute_dtype != precision.load_dtype:
        compute_in(model, precision.compute_dtype)
    return model, tokenizer


def _needs_quantizing(config: Any, precision: Precision, folder: Path) -> bool:
    already = getattr(config, "quantization_config", None)
    if already is None:
        return precision.name == "nf4"
    if precision.name != "nf4" or not is_nf4(already):
        raise BackboneError(
            f"{folder} is already quantized ({_method(already)}) and cannot be loaded as {precision.name}:"
            " give the unquantized model."
        )
    return False


def _method(config: Any) -> str:
    told = config if isinstance(config, dict) else config.to_dict()
    return str(told.get("bnb_4bit_quant_type") or told.get("quant_method") or "by an unknown method")
