"""What of a causal language model decides how much memory it takes, read from its config, without weights."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from quant.errors import BackboneError, first_line

CLOSING = frozenset({"o_proj", "out_proj", "dense", "wo", "down_proj", "fc2", "w2", "c_proj"})
"""Linears that end attention or MLP and read what nobody else reads; the others of a block share an input."""


@dataclass(frozen=True)
class Linear:
    """One linear of a decoder layer.

    Attributes:
        name: the last part of its name.
        block: the name of the module it lies in ("self_attn", "mlp").
        inputs, outputs: its widths.
        biased: whether it has a bias.
    """

    name: str
    block: str
    inputs: int
    outputs: int
    biased: bool

    @property
    def weights(self) -> int:
        """How many numbers its matrix has."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Architecture:
    """A decoder of equal layers, its embeddings and its head.

    Attributes:
        model_type: as transformers calls it.
        layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary: as in its config.
        tied: whether the head is the embedding matrix.
        linears: of one layer; these are what 4-bit quantization takes.
        others: numbers of the whole model outside those matrices: embeddings, head, norms, biases.
        norms: norms over the hidden state in one layer.
        head_norms: whether queries and keys are normed too (Qwen 3, Gemma 3).
        eager: whether attention is computed step by step, its S x S probabilities kept (Gemma 2).
        capped: whether its attention scores are capped by a tanh (Gemma 2).
    """

    model_type: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    linears: tuple[Linear, ...]
    others: int
    norms: int
    head_norms: bool
    eager: bool
    capped: bool

    @property
    def layer_weights(self) -> int:
        """Numbers in the linears' matrices of one layer."""
        return sum(linear.weights for linear in self.linears)

    @property
    def parameters(self) -> int:
        """Numbers of the whole model, a tied head counted once."""
        return self.layers * self.layer_weights + self.others

    @property
    def embedding(self) -> int:
        """Numbers of the input embedding; as many again in the head unless it is tied."""
        return self.vocabulary * self.hidden


def architecture_of(config: PretrainedConfig) -> Architecture:
    """Describe a model from its config: built on the meta device, where a tensor has a shape and no bytes.

    Raises:
        BackboneError: not a causal language model, or its layers differ from one another (mixtures of experts
            behind dense layers, hybrids), which this arithmetic does not know.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (ValueError, AttributeError, ImportError) as error:
        raise BackboneError(
            f"{config.model_type} is not a causal language model that can be described: {first_line(error)}."
        ) from error
    decoder, text = model.get_decoder(), config.get_text_config()
    layers: Any = getattr(decoder, "layers", None)
    found = [_linears(layer) for layer in layers] if layers is not None else []
    if not found or len(set(found)) > 1 or not found[0]:
        raise BackboneError(
            f"The memory of {config.model_type} cannot be estimated: its layers are not linears all alike."
            " Measure it where it will run (--measure)."
        )
    heads = text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // heads
    named = [m for m in layers[0].modules() if type(m).__name__.endswith("Norm")]
    weights = [getattr(module, "weight", None) for module in named]
    norms = Counter(int(weight.shape[0]) for weight in weights if isinstance(weight, torch.Tensor))
    return Architecture(
        model_type=config.model_type,
        layers=len(found),
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=head_dim,
        vocabulary=text.vocab_size,
        tied=model.get_output_embeddings().weight is model.get_input_embeddings().weight,
        linears=found[0],
        others=sum(p.numel() for p in model.parameters()) - len(found) * sum(x.weights for x in found[0]),
        norms=norms[text.hidden_size],
        head_norms=head_dim != text.hidden_size and norms[head_dim] > 0,
        eager=decoder.config._attn_implementation == "eager",
        capped=getattr(text, "attn_logit_softcapping", None) is not None,
    )


def _linears(layer: torch.nn.Module) -> tuple[Linear, ...]:
    return tuple(
        Linear(
            name.rpartition(".")[2],
            name.rpartition(".")[0],
            module.in_features,
            module.out_features,
            module.bias is not None,
        )
        for name, module in layer.named_modules()
        if isinstance(module, torch.nn.Linear)
    )
