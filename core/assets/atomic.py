"""Folders that appear whole or not at all: written aside, synced, and moved in with one rename."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def work_folder(name: str, parent: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as the target, gone afterwards."""
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".part", dir=parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_leftovers(name: str, parent: Path) -> None:
    """What a killed process left behind; the caller holds the lock, so nobody is still writing it."""
    for leftover in parent.glob(f".{name}-*.part"):
        shutil.rmtree(leftover, ignore_errors=True)


def move_in(content: Path, folder: Path, replaced: Path) -> None:
    """Put a finished folder in its place with one rename; a damaged one moves to `replaced` first."""
    _sync_folder(content)
    if folder.exists():
        os.replace(folder, replaced)
    os.replace(content, folder)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder to sync it
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
