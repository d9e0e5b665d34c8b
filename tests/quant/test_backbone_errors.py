"""Whatever is wrong with a source is one sentence that says what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quant.backbone import Backbone, load_backbone
from quant.errors import BackboneError


def sentence(source: str | Path, **options: object) -> str:
    with pytest.raises(BackboneError) as caught:
        load_backbone(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".") or ": " in text
    return text


@pytest.mark.parametrize("source", ["./nowhere", "/no/such/folder", "model.gguf", "a/b/c", Path("nowhere")])
def test_unknown_path(source: str | Path) -> None:
    assert "does not exist: give a GGUF file, a folder with safetensors, or a hub id" in sentence(source)


def test_hub_id_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    text = sentence("HuggingFaceTB/SmolLM2-360M")
    assert '"HuggingFaceTB/SmolLM2-360M" is not in the local hub cache' in text
    assert "give a local folder or GGUF file" in text


def test_invalid_hub_id() -> None:
    assert "neither a file, a folder nor a valid hub id" in sentence("no such model!")


def test_file_that_is_no_gguf(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    assert "is not a GGUF file" in sentence(path, cache=tmp_path)


@pytest.mark.parametrize("keep", [4, 20, 5_000, 1_000_000])
def test_truncated_gguf(gguf: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.gguf"
    with gguf.open("rb") as file:
        path.write_bytes(file.read(keep))
    assert "cannot be read as a GGUF language model" in sentence(path, cache=tmp_path)
    assert not list((tmp_path / "backbones").glob("gguf-*/"))


def test_gguf_with_garbage_after_its_first_letters(tmp_path: Path) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 64)
    assert "cannot be read as a GGUF language model" in sentence(path, cache=tmp_path)


def test_folder_without_weights(tmp_path: Path) -> None:
    assert "config.json and *.safetensors are needed" in sentence(tmp_path)


def test_folder_with_pickled_weights_only(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    assert "*.safetensors are needed" in sentence(tmp_path)


@pytest.fixture
def folder(bf16: Backbone, tmp_path: Path) -> Path:
    bf16.model.save_pretrained(tmp_path)
    bf16.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_truncated_safetensors(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1_000_000)
    assert "cannot be loaded as a causal language model" in sentence(folder, quantization="bf16")


def test_missing_weights_are_not_replaced_by_random_ones(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 31}))
    assert "lacks 9 weights of its model, such as model.layers.30." in sentence(folder, quantization="bf16")


def test_folder_that_would_run_its_own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "own.py").write_text("raise SystemExit('ran')")
    strange = {"model_type": "strange", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config | strange))
    assert "cannot be loaded as a causal language model" in sentence(folder, quantization="bf16")


def test_folder_that_is_quantized_otherwise_than_asked(folder: Path, nf4: Backbone) -> None:
    nf4.model.config.save_pretrained(folder)
    assert "already quantized (nf4) and cannot be loaded as bf16" in sentence(folder, quantization="bf16")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "awq"}}))
    assert "already quantized (awq) and cannot be loaded as nf4" in sentence(folder)


def test_unknown_quantization_and_device(gguf: Path) -> None:
    assert sentence(gguf, quantization="int3") == 'Unknown quantization "int3": use nf4, bf16, fp32.'
    assert '"gpu" is not a device' in sentence(gguf, device="gpu")
    assert "CUDA" in sentence(gguf, device="cuda:99") or "there are" in sentence(gguf, device="cuda:99")


def test_importing_bitsandbytes_says_nothing_about_optional_kernels() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import quant.nf4"], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "kernels" not in done.stderr
