"""Where the files of a brought data set lie: your own folder, the cache, or from their publishers into it.

What is downloaded must be what its sha256 says. Where no sha256 is known beforehand, it is you who says it;
what is in the cache is held to the hash it came with.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from core.assets.atomic import move_in, remove_leftovers, work_folder
from core.assets.brought import BROUGHT, Brought, Published, either
from core.assets.cache import CACHE_VARIABLE, cache_root
from core.assets.download import Remote, SourceFailed, download
from core.assets.progress import Progress, file_sha256
from core.assets.sources import ASSET_DIR_VARIABLE, ASSET_URL_VARIABLE
from core.assets.stamp import is_whole, read_stamp, write_stamp
from core.errors import AssetError


def brought_files(name: str, progress: Progress | None = None) -> tuple[Path, ...]:
    """One file for every part of a data set, in the order of its parts; downloaded where that can be done
    without asking you.

    Raises:
        AssetError: a part is missing, or cannot be fetched; says which files are needed and where.
    """
    wanted = BROUGHT[name]
    folder = fetch_brought(name, progress)
    return tuple(path for path in _parts(wanted, folder) if path is not None)


def fetch_brought(
    name: str,
    progress: Progress | None = None,
    *,
    sha256: Mapping[str, str] | None = None,
    verify: bool = False,
) -> Path:
    """The folder that holds every part of a data set.

    Args:
        name: see :data:`core.assets.BROUGHT`.
        progress: told about every step.
        sha256: file name -> what it must be, for files whose hash is not known beforehand. At an own address
            (`ILORA_ASSET_URL`) the named files are what is fetched: $ILORA_ASSET_URL/NAME/FILE.
        verify: hash cached files even where their stamp fits.

    Raises:
        AssetError: your folder lacks a part; a hash is not known; nothing could deliver the files.
    """
    wanted, said = BROUGHT[name], dict(sha256 or {})
    own = own_folder(wanted)
    if own is not None:
        return own
    folder = cache_folder(wanted)
    if _cached(wanted, folder, said, verify, progress):
        return folder
    files = _to_fetch(wanted, said)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{name}.lock"):
            # Another process may have finished while this one waited.
            if not _cached(wanted, folder, said, verify, progress):
                remove_leftovers(name, folder.parent)
                _download(wanted, files, folder, progress)
    except OSError as error:
        raise AssetError(
            f"{name} cannot be stored in {folder.parent} ({error.strerror or error}); make room or set "
            f"{CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return folder


def own_folder(wanted: Brought) -> Path | None:
    """Your own folder of this data set; None where none is set, or it holds none of that name.

    Raises:
        AssetError: it is there but lacks a part.
    """
    own = os.environ.get(ASSET_DIR_VARIABLE, "").strip()
    folder = Path(own).expanduser() / wanted.name
    if not own or not folder.is_dir():
        return None
    missing = [
        either(names)
        for names, path in zip(wanted.parts, _parts(wanted, folder), strict=True)
        if path is None
    ]
    if missing:
        raise AssetError(
            f"Your folder {folder} ({ASSET_DIR_VARIABLE}) lacks {'; '.join(missing)}: {wanted.name} comes "
            f"from {wanted.origin}."
        )
    return folder


def cache_folder(wanted: Brought) -> Path:
    """Where downloaded files lie or would lie."""
    return cache_root() / "assets" / wanted.name


def is_cached(wanted: Brought) -> bool:
    """Whether every part lies in the cache, by size and stamp."""
    return _cached(wanted, cache_folder(wanted), {}, verify=False, progress=None)


def _parts(wanted: Brought, folder: Path) -> tuple[Path | None, ...]:
    """For every part the first of its files that is there."""
    return tuple(
        next((folder / name for name in names if (folder / name).is_file()), None) for names in wanted.parts
    )


def _cached(
    wanted: Brought, folder: Path, said: Mapping[str, str], verify: bool, progress: Progress | None
) -> bool:
    parts = [path.name for path in _parts(wanted, folder) if path is not None]
    known = {name: str(entry[0]) for name, entry in read_stamp(folder).items()}
    # A hash that is known here wins over what the stamp says.
    known |= {f.file_name: f.sha256 for f in wanted.published if f.sha256 and f.file_name in parts}
    return (
        len(parts) == len(wanted.parts)
        and set(parts) <= set(known)
        and all(known.get(name) == sha256 for name, sha256 in said.items())
        and is_whole(folder, known, verify=verify, progress=progress)
    )


def _to_fetch(wanted: Brought, said: Mapping[str, str]) -> list[Remote]:
    """What to download from where. Raises AssetError where nobody knows what it must be."""
    base = os.environ.get(ASSET_URL_VARIABLE, "").strip().rstrip("/")
    if base and not base.startswith(("http://", "https://")):
        raise AssetError(
            f"{base} ({ASSET_URL_VARIABLE}) is no http(s) address; for a folder set {ASSET_DIR_VARIABLE}."
        )
    for file in wanted.published:
        if file.sha256 and said.get(file.file_name, file.sha256) != file.sha256:
            raise AssetError(
                f"The sha256 of {file.file_name} is known to be {file.sha256}, not {said[file.file_name]}: "
                "leave --sha256 out, or bring another version as a folder."
            )
    published = {file.file_name: file for file in wanted.published}
    if base:
        published = {
            name: Published(f"{base}/{wanted.name}/{name}", known.sha256 if known else None)
            for name, known in ({name: published.get(name) for name in said} or published).items()
        }
    unknown = [name for name in said if name not in published]
    if unknown:
        raise AssetError(
            f"{wanted.name} has no file {unknown[0]} to download; it has: {', '.join(published) or 'none'}."
        )
    hashes = {name: said.get(name) or file.sha256 for name, file in published.items()}
    nameless = [name for name, sha256 in hashes.items() if sha256 is None]
    if nameless or not hashes:
        raise AssetError(_must_be_brought(wanted, nameless))
    return [Remote(file.url, name, hashes[name] or "") for name, file in published.items()]


def _must_be_brought(wanted: Brought, nameless: list[str]) -> str:
    bring = (
        f"put its files ({wanted.wanted}) into a folder named {wanted.name} and set {ASSET_DIR_VARIABLE} to "
        f"the folder that holds it; they come from {wanted.origin}"
    )
    if not nameless:
        return f"{wanted.name} must be brought as a folder: {bring}."
    say = " ".join(f"--sha256 {name}=..." for name in nameless)
    return (
        f"{wanted.name} is not downloaded unseen, because no sha256 of {', '.join(nameless)} is known: "
        f"{bring}; or say what you expect with `ilora data fetch {wanted.name} {say}`."
    )


def _download(wanted: Brought, files: list[Remote], folder: Path, progress: Progress | None) -> None:
    """Fetch every file, check it, and move the whole folder in. Raises AssetError."""
    with work_folder(wanted.name, folder.parent) as work:
        content = work / "content"
        content.mkdir()
        for file in files:
            try:
                path = download(file, folder.parent / ".partial", content, progress)
            except SourceFailed as failure:
                raise AssetError(
                    f"{wanted.name} could not be fetched: {file.url} {failure}. {_advice(wanted)}"
                ) from failure
            found = file_sha256(path, progress)
            if found != file.sha256:
                raise AssetError(
                    f"{wanted.name} could not be fetched: {file.url} delivers a file with the sha256 "
                    f"{found}, not {file.sha256}. {_advice(wanted)}"
                )
        if None in _parts(wanted, content):
            raise AssetError(
                f"{', '.join(file.name for file in files)} is not all of {wanted.name}: it needs "
                f"{wanted.wanted}."
            )
        write_stamp(content, {file.name: file.sha256 for file in files})
        move_in(content, folder, work / "replaced")


def _advice(wanted: Brought) -> str:
    return (
        f"Set {ASSET_DIR_VARIABLE} to a folder that holds {wanted.name} with its files, or "
        f"{ASSET_URL_VARIABLE} to an address that serves them under {wanted.name}/."
    )
