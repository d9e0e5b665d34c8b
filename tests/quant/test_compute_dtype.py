"""NF4 computes in bf16 where the hardware does and in fp32 elsewhere, over the very same weights."""

from pathlib import Path

import pytest
import torch

from quant import backbone as backbone_module
from quant.backbone import Backbone, compute_on, load_backbone
from quant.devices import computes_bf16, devices
from quant.nf4 import dequantized_weight, linears_4bit


@pytest.fixture(scope="module")
def widened(gguf: Path) -> Backbone:
    return load_backbone(gguf, "nf4", device="cpu", compute="fp32")


def test_every_weight_is_the_same_number_in_both(widened: Backbone, nf4: Backbone) -> None:
    plain = dict(linears_4bit(nf4.model))
    for name, linear in linears_4bit(widened.model):
        assert torch.equal(dequantized_weight(linear), dequantized_weight(plain[name]))
    for (name, wide), (_, narrow) in zip(
        widened.model.get_decoder().named_parameters(),
        nf4.model.get_decoder().named_parameters(),
        strict=True,
    ):
        if "norm" in name or "embed" in name:
            assert wide.dtype == torch.float32 and torch.equal(wide, narrow.float()), name


def test_hidden_states_are_float32_and_close_to_those_of_bf16(widened: Backbone, nf4: Backbone) -> None:
    ids = nf4.tokenizer(
        "Watched so far, oldest first: Fargo (1996); Heat (1995)", return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        wide = widened.model(ids).logits
        narrow = nf4.model(ids).logits
    assert widened.compute_dtype == wide.dtype == torch.float32 and narrow.dtype == torch.bfloat16
    assert widened.embedding_norm == pytest.approx(nf4.embedding_norm, rel=1e-3)
    likely = wide.log_softmax(-1)
    assert (likely.exp() * (likely - narrow.float().log_softmax(-1))).sum(-1).mean() < 0.02  # nats


def test_tied_embeddings_stay_tied(widened: Backbone) -> None:
    assert widened.model.lm_head.weight.data_ptr() == widened.model.get_input_embeddings().weight.data_ptr()


def test_gradients_arrive_below_every_linear(widened: Backbone) -> None:
    ids = torch.tensor([[1, 2, 3, 4]])
    embeds = widened.model.get_input_embeddings()(ids).requires_grad_()
    widened.model.get_decoder()(inputs_embeds=embeds, use_cache=False).last_hidden_state.sum().backward()
    assert embeds.grad is not None and embeds.grad.abs().max() > 0


def test_auto_is_what_the_processor_does_in_hardware(
    widened: Backbone, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    assert computes_bf16(cpu) == (devices().avx512_bf16 or devices().amx)
    for native, name, dtype in ((True, "bf16", torch.bfloat16), (False, "fp32", torch.float32)):
        monkeypatch.setattr(backbone_module, "computes_bf16", lambda _, native=native: native)
        assert compute_on(cpu) == name
        assert load_backbone(gguf, "nf4", device="cpu").compute_dtype == dtype
