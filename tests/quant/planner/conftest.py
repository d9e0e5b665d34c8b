"""Tiny random models of every architecture we promise, by config alone."""

from collections.abc import Callable
from typing import Any

import pytest
from transformers import AutoConfig, PretrainedConfig

TINY: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "gemma2": {"head_dim": 16},
    "gemma3_text": {"head_dim": 16},
    "phi3": {"pad_token_id": 0},
}


@pytest.fixture(scope="session", params=TINY)
def architecture_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., PretrainedConfig]:
    def make(name: str, **more: Any) -> PretrainedConfig:
        shape = {
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_hidden_layers": 3,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "vocab_size": 96,
        }
        return AutoConfig.for_model(name, **(shape | TINY[name] | more))

    return make
