"""Is this folder a whole, unchanged bundle that this version can read? Nothing is loaded before that."""

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from core.errors import BundleError
from exports.bundle_info import (
    CARD,
    INFO,
    PROJECTOR,
    ROUTER,
    SCHEMA_VERSION,
    SUFFIXES,
    BundleInfo,
    FileInfo,
    is_inside,
)

MAKE_COMMAND = "make bundle"


def verify_bundle(path: Path) -> BundleInfo:
    """Check a bundle folder: schema version, file list, kinds of file, size and sha256 of every file.

    Raises:
        BundleError: one sentence saying what is wrong and what to do.
    """
    path = Path(path)
    info = read_info(path)
    found = _files_of(path)
    listed = set(info.files)
    if missing := sorted({ROUTER, PROJECTOR, CARD} - listed):
        raise _damaged(path, f"{INFO} does not list {missing[0]}")
    if missing := sorted(listed - found):
        raise _damaged(path, f"{missing[0]} is missing")
    if unknown := sorted(found - listed):
        raise BundleError(f"{path} holds {unknown[0]}, which its {INFO} does not list: remove that file.")
    for name, expected in info.files.items():
        if file_info(path / name) != expected:
            raise _damaged(path, f"{name} is not the file that was saved (size or sha256 differs)")
    return info


def read_info(path: Path) -> BundleInfo:
    """bundle.json of a folder, validated. Raises BundleError as :func:`verify_bundle` does."""
    source = Path(path) / INFO
    if not source.is_file():
        raise BundleError(f"There is no bundle at {path} (no {INFO}): `ilora bundle` makes one of a run.")
    try:
        raw = json.loads(source.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(Path(path), f"{INFO} is not JSON") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int):
        raise _damaged(Path(path), f"{INFO} has no schema_version")
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema {version}; this version reads up to {SCHEMA_VERSION}: update ilora."
        )
    try:
        info = BundleInfo.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(Path(path), f"{INFO}, field {where}: {first['msg']}") from error
    for name in info.files:
        if not is_inside(name) or Path(name).suffix not in SUFFIXES:
            raise BundleError(
                f"{path}: {INFO} lists {name}, which may not be in a bundle; do not use this bundle."
            )
    return info


def file_info(path: Path) -> FileInfo:
    """Size and sha256 of one file."""
    with path.open("rb") as stream:
        return FileInfo(sha256=hashlib.file_digest(stream, "sha256").hexdigest(), size=path.stat().st_size)


def _files_of(path: Path) -> set[str]:
    """Every file below the folder but bundle.json; links are refused, they could point anywhere."""
    names = set()
    for entry in path.rglob("*"):
        if entry.is_symlink():
            raise BundleError(
                f"{entry} is a link, and bundles hold plain files only: replace it by the file."
            )
        if entry.is_file():
            names.add(entry.relative_to(path).as_posix())
    return names - {INFO}


def _damaged(path: Path, what: str) -> BundleError:
    return BundleError(
        f"The bundle at {path} is damaged: {what}. Copy it again, or make it anew by `ilora bundle`."
    )
