"""Where the backbone's GGUF file lies, fetched on first use."""

from pathlib import Path

from core.assets import BACKBONE, fetch


def backbone_file() -> Path:
    return next(fetch(BACKBONE).glob("*.gguf"))
