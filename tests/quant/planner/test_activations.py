"""The table of what a decoder layer keeps is what autograd is seen to keep, for every architecture."""

from collections.abc import Callable

import pytest
import torch
from peft import get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig

from core.branched_attention import use_branches
from core.ilora import ILoraConfig
from quant.planner import AdapterShape, Rows, architecture_of, layer_saved

B, S = 3, 20
Configs = Callable[..., PretrainedConfig]


def kept(
    config: PretrainedConfig,
    dtype: torch.dtype,
    experts: int,
    dropout: float,
    masked: bool,
    layers: int,
    by_products: bool = False,
) -> int:
    """Bytes behind all that autograd saves in one forward pass, the model's own left out."""
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention"] * layers
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).requires_grad_(False)
    if by_products:
        use_branches(model)
    adapter = ILoraConfig(r=8, num_experts=experts, lora_dropout=dropout, gate_width=16)
    decoder = get_peft_model(model.get_decoder(), adapter, adapter_name="mine").train()
    inputs = torch.randn(B, S, config.hidden_size, dtype=dtype, requires_grad=True)
    owned = {t.untyped_storage().data_ptr() for t in (*decoder.parameters(), *decoder.buffers(), inputs)}
    found: dict[int, Tensor] = {}  # holding the tensors keeps their addresses from being used again

    def pack(tensor: Tensor) -> Tensor:
        found.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    more: dict[str, Tensor] = {"sequence": torch.randn(B, 16)} if experts > 1 else {}
    if masked:
        seen = torch.ones(S, S, dtype=torch.bool).tril().expand(B, 1, S, S)
        more["attention_mask"] = seen if config._attn_implementation != "eager" else seen.to(dtype)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        decoder(inputs_embeds=inputs, use_cache=False, **more)
    return sum(t.untyped_storage().nbytes() for at, t in found.items() if at not in owned)


@pytest.mark.parametrize(
    ("dtype", "experts", "dropout", "masked"),
    [
        (torch.float32, 4, 0.0, False),
        (torch.float32, 1, 0.1, True),
        (torch.bfloat16, 4, 0.0, True),
        (torch.bfloat16, 4, 0.1, False),
    ],
)
def test_a_layer_keeps_what_the_table_says(
    tiny_config: Configs,
    architecture_name: str,
    dtype: torch.dtype,
    experts: int,
    dropout: float,
    masked: bool,
) -> None:
    config = tiny_config(architecture_name)
    model = architecture_of(config)
    three, two = (kept(config, dtype, experts, dropout, masked, layers) for layers in (3, 2))
    adapter = AdapterShape(8, gated=experts > 1, dropout=dropout > 0)
    told = layer_saved(model, adapter, Rows(B, S, masked), dtype.itemsize, "cpu")
    assert told == pytest.approx(three - two, rel=0.02)


@pytest.mark.parametrize("masked", [False, True])
def test_short_bf16_rows_keep_their_probabilities(tiny_config: Configs, masked: bool) -> None:
    config = tiny_config("llama")
    three, two = (kept(config, torch.bfloat16, 4, 0.0, masked, layers, True) for layers in (3, 2))
    rows = Rows(B, S, masked, by_products=True)
    told = layer_saved(architecture_of(config), AdapterShape(8, gated=True), rows, 2, "cpu")
    assert told == pytest.approx(three - two, rel=0.02)


def test_what_is_not_adapted_keeps_no_input(tiny_config: Configs) -> None:
    model = architecture_of(tiny_config("llama"))
    rows = Rows(B, S)
    everything = layer_saved(model, AdapterShape(8, gated=True), rows, 4, "cpu")
    only = layer_saved(model, AdapterShape(8, True, targets=frozenset({"q_proj", "v_proj"})), rows, 4, "cpu")
    # Five adapters' A x, twice; the MLP's input and its product.
    assert everything - only == B * S * 4 * (5 * 2 * 8 + 64 + 160)
