"""Which linears of a decoder are adapted: found by looking at the decoder, not by a list of architectures."""

from collections.abc import Sequence

from torch import nn

from core.errors import RecipeError

ALL_LINEAR = "all-linear"
"""Every linear of the decoder's layers: attention and MLP; never embeddings or the output head."""


def linear_names(decoder: nn.Module) -> tuple[str, ...]:
    """Last parts of the names of a decoder's linears, 4-bit ones included, in the order of the first layer.

    Llama, Qwen, Mistral and Gemma: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj. Phi-3:
    qkv_proj, o_proj, gate_up_proj, down_proj.
    """
    linears = (name for name, module in decoder.named_modules() if isinstance(module, nn.Linear))
    names = (name.rpartition(".")[2] for name in linears)
    return tuple(dict.fromkeys(names))


def targets_in(decoder: nn.Module, wanted: str | Sequence[str]) -> str | list[str]:
    """`wanted` as an adapter's config takes it, checked against the decoder.

    Args:
        wanted: ALL_LINEAR, or names of linears such as ("q_proj", "v_proj").

    Raises:
        RecipeError: the decoder has no linears, or none of a wanted name.
    """
    there = linear_names(decoder)
    if not there:
        raise RecipeError(
            f"{type(decoder).__name__} has no linear layers that experts could be put on: choose a backbone"
            " whose layers are nn.Linear (Llama, Qwen, Mistral, Gemma, Phi and most others)."
        )
    if wanted == ALL_LINEAR:
        return ALL_LINEAR
    unknown = [name for name in wanted if name not in there]
    if unknown or isinstance(wanted, str) or not wanted:
        given = wanted if isinstance(wanted, str) else ", ".join(unknown) or "nothing"
        raise RecipeError(
            f"adapter.target_modules: {given} is not in {type(decoder).__name__}, whose linears are "
            f'{", ".join(there)}; "{ALL_LINEAR}" takes them all.'
        )
    return list(wanted)
