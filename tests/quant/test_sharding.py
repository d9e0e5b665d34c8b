"""A backbone shared out over processes: refused where it cannot be, and the same answers where it can."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from quant.backbone import Backbone, load_backbone
from quant.errors import BackboneError
from quant.sharding import share_out

TWO_PROCESSES = """
import sys, torch, torch.distributed as dist
from quant.backbone import load_backbone
from quant.sharding import bytes_here, share_out

rank, gguf, meeting = int(sys.argv[1]), *sys.argv[2:]
torch.set_num_threads(1)
backbone = load_backbone(gguf, "nf4", device="cpu", storage=torch.bfloat16)
decoder = backbone.model.get_decoder()
decoder.layers = decoder.layers[:3]
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
torch.manual_seed(rank)  # each its own batch
inputs = torch.randn(2, 7, backbone.hidden_size)

def asked(checkpointing):
    if checkpointing:
        decoder.activation_checkpointing_enable({"use_reentrant": False})
    decoder.train(checkpointing)
    leaf = inputs.clone().requires_grad_()
    states = decoder(inputs_embeds=leaf, use_cache=False).last_hidden_state
    states.float().square().mean().backward()
    return states.detach(), leaf.grad

whole, before = asked(False), bytes_here(backbone.model)
share_out(backbone.model, 2)
for checkpointing in (False, True):
    for one, other in zip(whole, asked(checkpointing)):
        assert torch.equal(one, other)
    with torch.inference_mode():  # a validation between steps
        decoder.eval()
        assert torch.equal(whole[0], decoder(inputs_embeds=inputs, use_cache=False).last_hidden_state)
assert before / 2 <= bytes_here(backbone.model) < 0.51 * before, (before, bytes_here(backbone.model))
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def stored_as_bf16(gguf: Path) -> Backbone:
    return load_backbone(gguf, "nf4", device="cpu", storage=torch.bfloat16)


def test_words_stored_as_bf16_are_those_stored_as_bytes(stored_as_bf16: Backbone, nf4: Backbone) -> None:
    """Through the cache, whose check of what it wrote must not take words that look like NaN for damage."""
    words = [b.model.get_decoder().layers[0].mlp.up_proj.weight.data for b in (stored_as_bf16, nf4)]
    assert words[0].dtype == torch.bfloat16 and words[1].dtype == torch.uint8
    assert torch.equal(words[0].view(torch.uint8).flatten(), words[1].flatten())


@pytest.mark.timeout(900)  # two more processes on cores that may be busy
def test_a_backbone_shared_by_two_processes_answers_and_passes_gradients_like_a_whole_one(
    stored_as_bf16: Backbone, gguf: Path, tmp_path: Path
) -> None:
    """To the last bit, each with its own batch, with and without checkpointing, half the bytes each."""
    asked = [
        [sys.executable, "-c", TWO_PROCESSES, rank, str(gguf), str(tmp_path / "meeting")] for rank in "01"
    ]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in asked]
    said = [process.communicate(timeout=800)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said


def test_only_a_frozen_backbone_of_float_words_is_shared_out(nf4: Backbone, stored_as_bf16: Backbone) -> None:
    with pytest.raises(BackboneError, match=r'model\.storage="bf16"'):
        share_out(nf4.model, 2)
    scale = stored_as_bf16.model.get_decoder().layers[0].input_layernorm.weight.requires_grad_(True)
    with pytest.raises(BackboneError, match="before adapters are added"):
        share_out(stored_as_bf16.model, 2)
    scale.requires_grad_(False)
