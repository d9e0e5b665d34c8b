"""Long steps tell how far they are; hashing a file is one of them."""

import hashlib
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20


class Progress(Protocol):
    """Told how far a step is; the CLI draws a bar, tests count, None is silent."""

    def update(self, done_bytes: int, total_bytes: int | None, step: str) -> None:
        """`step` is a verb for people ("downloading"); `total_bytes` is None where it is not known."""
        ...


def file_sha256(path: Path, progress: Progress | None = None) -> str:
    """The file's sha256 in hexadecimal; the step is called "checking"."""
    digest, total = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as reader:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            if progress:
                progress.update(reader.tell(), total, "checking")
    return digest.hexdigest()
