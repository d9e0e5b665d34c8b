"""A GGUF file's values arrive in the model, once converted, whole, and kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray

from quant.backbone import Backbone, load_backbone
from quant.nf4 import linears_4bit

BF16_ROUNDING = 2.0**-8


@pytest.fixture(scope="module")
def stored(gguf: Path) -> dict[str, NDArray[np.float32]]:
    """A few tensors as the `gguf` library reads them: one of each block type, and one that is permuted."""
    wanted = {"token_embd.weight", "blk.7.ffn_down.weight", "blk.29.attn_norm.weight", "blk.3.attn_k.weight"}
    tensors = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors if tensor.name in wanted}
    return {name: dequantize(tensor.data, tensor.tensor_type) for name, tensor in tensors.items()}


def unpermuted(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """GGUF interleaves the two halves of every rotary head; transformers keeps them apart."""
    size = len(rows) // heads
    order = [head * size + 2 * i + half for head in range(heads) for half in (0, 1) for i in range(size // 2)]
    return rows[order]


@pytest.mark.parametrize(
    ("in_gguf", "in_model"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),  # Q8_0
        ("blk.7.ffn_down.weight", "model.layers.7.mlp.down_proj.weight"),  # Q4_1
        ("blk.29.attn_norm.weight", "model.layers.29.input_layernorm.weight"),  # F32
        ("blk.3.attn_k.weight", "model.layers.3.self_attn.k_proj.weight"),  # Q4_1, rotary order
    ],
)
def test_every_value_is_the_dequantized_one_rounded_to_bf16(
    in_gguf: str, in_model: str, stored: dict[str, NDArray[np.float32]], bf16: Backbone, fp32: Backbone
) -> None:
    values = stored[in_gguf]
    if in_gguf.endswith("attn_k.weight"):
        values = unpermuted(values, heads=fp32.model.config.num_key_value_heads)
    expected = torch.from_numpy(values.copy())
    assert torch.equal(bf16.model.state_dict()[in_model], expected.bfloat16())
    found = fp32.model.state_dict()[in_model]
    assert torch.equal(found, expected.bfloat16().float())
    assert ((found - expected).abs() <= BF16_ROUNDING * expected.abs()).all()


def test_first_load_converts_and_quantizes_and_the_second_only_reads(
    gguf: Path, nf4: Backbone, tmp_path: Path
) -> None:
    home = tmp_path / "backbones"
    leftover = home / "gguf-b179c9523d0e6a0f.partial"  # what a killed conversion leaves
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half of it")

    told: list[str] = []
    first = load_backbone(gguf, "nf4", device="cpu", cache=tmp_path, progress=told.append)
    assert [sentence.split()[0] for sentence in told] == ["Converting", "Quantizing", "Loading"]
    assert not list(home.glob("*.partial"))

    told.clear()
    second = load_backbone(gguf, "nf4", device="cpu", cache=tmp_path, progress=told.append)
    assert [sentence.split()[0] for sentence in told] == ["Loading"]
    # The last is what earlier runs left in the user's cache: raise quant.store.FORMAT when it differs.
    for other in (second, nf4):
        assert first.sha256 == other.sha256
        mine, theirs = first.model.state_dict(), other.model.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert first.tokenizer.backend_tokenizer.to_str() == other.tokenizer.backend_tokenizer.to_str()


def test_kept_nf4_has_the_bits_that_quantizing_the_converted_folder_gives(
    gguf: Path, bf16: Backbone, nf4: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    bf16.model.save_pretrained(folder)
    bf16.tokenizer.save_pretrained(folder)
    fresh = load_backbone(folder, "nf4", device="cpu", compute="bf16")  # no GGUF in sight
    assert fresh.sha256 != nf4.sha256, "the hash is of what was read: safetensors here, the GGUF there"
    kept = nf4.model.state_dict()
    for name, value in fresh.model.state_dict().items():
        assert torch.equal(value, kept[name]), name
    assert len(list(linears_4bit(fresh.model))) == 210


def test_a_folder_gives_back_the_model_that_was_saved_in_it(bf16: Backbone, tmp_path: Path) -> None:
    bf16.model.save_pretrained(tmp_path)
    bf16.tokenizer.save_pretrained(tmp_path)
    again = load_backbone(tmp_path, "bf16", device="cpu")
    saved = bf16.model.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in again.model.state_dict().items())
    assert again.tokenizer.get_vocab() == bf16.tokenizer.get_vocab()
    assert again.embedding_norm == bf16.embedding_norm
    assert len(again.sha256) == 64


def test_the_record_tells_the_truth_about_the_model(nf4: Backbone, bf16: Backbone, fp32: Backbone) -> None:
    for backbone, dtype in ((nf4, torch.bfloat16), (bf16, torch.bfloat16), (fp32, torch.float32)):
        assert not backbone.model.training
        assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
        assert backbone.hidden_size == 576
        assert backbone.compute_dtype == dtype == backbone.model.lm_head.weight.dtype
        assert backbone.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
        rows = backbone.model.get_input_embeddings().weight.float()
        assert backbone.embedding_norm == pytest.approx(rows.square().sum(-1).sqrt().mean().item(), rel=1e-5)
        weight = backbone.model.get_output_embeddings().weight
        assert weight.data_ptr() == backbone.model.get_input_embeddings().weight.data_ptr(), "tied"
        assert not hasattr(backbone.model.config, "quantization_config") or backbone is nf4
