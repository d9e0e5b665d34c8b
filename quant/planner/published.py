"""Configs of the backbones that the recipes name, as published, so that estimating needs no download.

Only what memory depends on. Another model's config is read from its folder, or fetched from the hub (a few
kilobytes, never its weights).
"""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from transformers import AutoConfig, PretrainedConfig

from quant.errors import BackboneError, first_line


def _llama_like(
    kind: str,
    layers: int,
    hidden: int,
    intermediate: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    tied: bool,
    **more: Any,
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        **more,
    }


_SMOLLM2_135M = _llama_like("llama", 30, 576, 1536, 9, 3, 49152, True)

PUBLISHED: dict[str, dict[str, Any]] = {
    "smollm2-135m": _SMOLLM2_135M,
    "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
    "HuggingFaceTB/SmolLM2-360M-Instruct": _llama_like("llama", 32, 960, 2560, 15, 5, 49152, True),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _llama_like("llama", 24, 2048, 8192, 32, 32, 49152, True),
    "Qwen/Qwen2.5-1.5B-Instruct": _llama_like("qwen2", 28, 1536, 8960, 12, 2, 151936, True),
    "Qwen/Qwen3-4B": _llama_like("qwen3", 36, 2560, 9728, 32, 8, 151936, True, head_dim=128),
    "Qwen/Qwen3-8B": _llama_like("qwen3", 36, 4096, 12288, 32, 8, 151936, False, head_dim=128),
    "Qwen/Qwen3-32B": _llama_like("qwen3", 64, 5120, 25600, 64, 8, 151936, False, head_dim=128),
    "meta-llama/Llama-2-7b-hf": _llama_like("llama", 32, 4096, 11008, 32, 32, 32000, False),
    "meta-llama/Llama-3.1-8B-Instruct": _llama_like("llama", 32, 4096, 14336, 32, 8, 128256, False),
}


def published_config(source: str | Path, revision: str | None = None) -> PretrainedConfig:
    """The config of a backbone: one of those above, a folder's, or a hub id's.

    Raises:
        BackboneError: it is not known here and cannot be read or fetched.
    """
    if str(source) in PUBLISHED:
        values = dict(PUBLISHED[str(source)])
        return AutoConfig.for_model(values.pop("model_type"), **values)
    folder = Path(source).expanduser()
    where = str(folder) if folder.is_dir() else str(source)
    try:
        return AutoConfig.from_pretrained(where, revision=revision or "main")
    except (OSError, ValueError, HFValidationError) as error:
        raise BackboneError(
            f'The config of "{source}" cannot be read: {first_line(error)} Give a folder with a config.json,'
            f" a hub id that can be reached, or one of {', '.join(PUBLISHED)}."
        ) from error
