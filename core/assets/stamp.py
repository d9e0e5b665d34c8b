"""The stamp beside cached files: size, time and sha256 of what was hashed, so that a start hashes nothing."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from core.assets.progress import Progress, file_sha256

STAMP = "stamp.json"


def is_whole(
    folder: Path, expected: Mapping[str, str], *, verify: bool = False, progress: Progress | None = None
) -> bool:
    """Whether every file is there and is what was hashed; what differs from its stamp is hashed again.

    Args:
        folder: where the files lie.
        expected: file name -> sha256.
        verify: hash even where the stamp fits.
    """
    stamp = read_stamp(folder)
    hashed = False
    for name, sha256 in expected.items():
        path = folder / name
        if not path.is_file():
            return False
        if verify or stamp.get(name) != _entry(sha256, path):
            hashed = True
            if file_sha256(path, progress) != sha256:
                return False
    if hashed:
        with suppress(OSError):  # a read-only cache (an image, a share) works too, it only hashes every time
            write_stamp(folder, expected)
    return True


def read_stamp(folder: Path) -> dict[str, list[str | int]]:
    """What was hashed when; empty where there is no readable stamp."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(folder: Path, expected: Mapping[str, str]) -> None:
    """Remember that these files have these hashes."""
    stamp = {name: _entry(sha256, folder / name) for name, sha256 in expected.items()}
    # Written aside and renamed: a reader without the lock sees the old stamp or the new one, never half of
    # one.
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, suffix=".part", delete=False, encoding="utf-8"
    ) as writer:
        json.dump(stamp, writer, indent=1)
        writer.flush()
        os.fsync(writer.fileno())
    os.replace(writer.name, folder / STAMP)


def _entry(sha256: str, path: Path) -> list[str | int]:
    return [sha256, path.stat().st_size, path.stat().st_mtime_ns]
