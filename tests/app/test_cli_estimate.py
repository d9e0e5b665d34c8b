"""`ilora estimate` as people and programs see it."""

import json

import pytest
from typer.testing import CliRunner

from app.cli.estimate import card_bytes
from app.cli.main import cli
from core.errors import RecipeError

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


@pytest.mark.parametrize(("size", "gib"), [("24GB", 24), ("7.5 GiB", 7.5), ("16", 16), ("8g", 8)])
def test_a_cards_memory_is_written_as_it_is_sold(size: str, gib: float) -> None:
    assert card_bytes(size) == gib * 2**30


@pytest.mark.parametrize("size", ["lots", "-3GB", "0", "24MB"])
def test_anything_else_is_refused(size: str) -> None:
    with pytest.raises(RecipeError, match="for example --gpu 24GB"):
        card_bytes(size)
