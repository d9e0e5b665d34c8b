"""`ilora estimate` as people and programs see it."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner

from app.cli.estimate import card_bytes
from app.cli.main import cli
from core.assets import BACKBONE, fetch
from core.errors import RecipeError
from core.training.recipe import load_recipe
from quant.backbone import load_backbone

WORDS = ("backbone, frozen parts", "activations kept", "optimizer states", "scores or logits", "peak")


def told(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["estimate", "--items", "1682", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_table_of_parts_and_a_verdict() -> None:
    text = told("--recipe", "gpu-8gb", "--gpu", "8GB")
    assert all(words in text for words in WORDS)
    assert "Fits into 8 GiB." in text
    assert "How long it takes is not known" in text and "--measure" in text


def test_what_does_not_fit_is_told_with_settings_to_copy() -> None:
    text = told("--recipe", "gpu-24gb", "--gpu", "12GB")
    assert "Does not fit into 12 GiB. This does: --set optimizer.micro_batch=16" in text
    assert "choose a smaller backbone" in told("--recipe", "gpu-24gb", "--gpu", "4GB")


def test_the_settings_that_are_told_fit_when_laid_over() -> None:
    first = json.loads(told("--recipe", "gpu-24gb", "--gpu", "12GB", "--json"))
    assert first["fits"] is False
    laid_over = [part for setting in first["settings"] for part in ("--set", setting)]
    second = json.loads(told("--recipe", "gpu-24gb", "--gpu", "12GB", "--json", *laid_over))
    assert second["fits"] is True and second["bytes"]["peak"] == first["peak_with_settings"]


def test_json_has_every_part_in_bytes() -> None:
    record = json.loads(told("--recipe", "demo-cpu", "--json"))
    assert record["measured"] is None
    held = record["bytes"]
    fixed = sum(held[part] for part in ("weights", "adapter", "gradients", "optimizer", "process", "slack"))
    assert fixed < held["peak"] <= sum(v for name, v in held.items() if name != "peak")


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two small layers with random weights, as a folder with the packaged tokenizer."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = load_backbone(next(fetch(BACKBONE).glob("*.gguf")), "bf16", device="cpu").tokenizer
    config = AutoConfig.for_model(
        "llama",
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_measured_step_tells_how_long_an_epoch_takes(tiny_folder: Path) -> None:
    """An own folder as backbone: its config is read for the estimate, its weights for the measurement."""
    own = ("--set", f"model.backbone={tiny_folder}", "--set", "optimizer.micro_batch=4", "--measure")
    done = CliRunner().invoke(cli, ["estimate", *own, "--json"])
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)["measured"]
    assert measured["batch"]["rows"] == 4 and measured["peak_tensors"] > 0
    per_row = measured["seconds_per_micro_step"] / 4
    assert measured["seconds_per_epoch"] == pytest.approx(per_row * measured["rows_per_epoch"])
    assert measured["seconds_of_run"] == pytest.approx(per_row * 32 * load_recipe("demo-cpu").run.max_steps)


def test_measuring_refuses_first_what_this_machine_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(cli, ["estimate", "--set", "optimizer.kind=paged_adamw_8bit", "--measure"])
    assert isinstance(done.exception, RecipeError) and "needs a CUDA device" in str(done.exception)


@pytest.mark.parametrize(("size", "gib"), [("24GB", 24), ("7.5 GiB", 7.5), ("16", 16), ("8g", 8)])
def test_a_cards_memory_is_written_as_it_is_sold(size: str, gib: float) -> None:
    assert card_bytes(size) == gib * 2**30


@pytest.mark.parametrize("size", ["lots", "-3GB", "0", "24MB"])
def test_anything_else_is_refused(size: str) -> None:
    with pytest.raises(RecipeError, match="for example --gpu 24GB"):
        card_bytes(size)
