"""What is kept in the cache is whole or made again, never half."""

import json
from pathlib import Path

import pytest

from quant.backbone import Backbone
from quant.errors import BackboneError
from quant.store import made_once


@pytest.fixture
def made(bf16: Backbone, tmp_path: Path) -> tuple[Path, list[str]]:
    """A kept folder and the list of times it was made."""
    calls: list[str] = []
    return keep(tmp_path / "kept", bf16, calls), calls


def keep(folder: Path, backbone: Backbone, calls: list[str], made_from: str = "a" * 64) -> Path:
    def make() -> tuple[object, object]:
        calls.append(made_from)
        return backbone.model, backbone.tokenizer

    return made_once(folder, made_from, make)


def test_a_whole_folder_is_not_made_again(made: tuple[Path, list[str]], bf16: Backbone) -> None:
    folder, calls = made
    keep(folder, bf16, calls)
    assert len(calls) == 1


def test_a_truncated_folder_is_made_again(made: tuple[Path, list[str]], bf16: Backbone) -> None:
    folder, calls = made
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as file:
        file.truncate(size // 2)
    keep(folder, bf16, calls)
    assert len(calls) == 2
    assert weights.stat().st_size == size


def test_a_folder_made_from_other_weights_or_by_an_older_format_is_made_again(
    made: tuple[Path, list[str]], bf16: Backbone
) -> None:
    folder, calls = made
    keep(folder, bf16, calls, made_from="b" * 64)
    assert len(calls) == 2
    record = json.loads((folder / "made.json").read_text())
    (folder / "made.json").write_text(json.dumps(record | {"format": record["format"] - 1}))
    keep(folder, bf16, calls, made_from="b" * 64)
    assert len(calls) == 3


def test_a_failed_making_leaves_no_folder(tmp_path: Path, bf16: Backbone) -> None:
    def fail() -> tuple[object, object]:
        raise BackboneError("no")

    with pytest.raises(BackboneError):
        made_once(tmp_path / "kept", "a" * 64, fail)
    assert not (tmp_path / "kept").exists()


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path, bf16: Backbone) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackboneError, match=r"cannot be written.*ILORA_CACHE"):
        keep(tmp_path / "file" / "kept", bf16, [])
