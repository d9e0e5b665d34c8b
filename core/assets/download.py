"""One file over HTTP: continued where it broke off, in this run or in the next one, or restarted whole."""

import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path

from core.assets.progress import CHUNK, Progress, file_sha256

NETWORK_TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 4  # a broken connection is resumed this often before the source counts as failed


class SourceFailed(Exception):
    """Why one source could not deliver; becomes part of the one sentence a person reads."""


@dataclass(frozen=True)
class Remote:
    """A file that is known before it is read.

    Attributes:
        url: http(s) address.
        name: file name.
        sha256: what it must be.
        size_bytes: None where only the server knows.
    """

    url: str
    name: str
    sha256: str
    size_bytes: int | None = None


def download(remote: Remote, partial_folder: Path, into: Path, progress: Progress | None) -> Path:
    """Stream a file into the folder `into`. Whether it is the right one is for the caller to check.

    Raises:
        SourceFailed: the server does not deliver it.
    """
    partial_folder.mkdir(parents=True, exist_ok=True)
    # The hash in the name: what another version left behind is never continued.
    partial = partial_folder / f"{remote.sha256[:16]}.part"
    continued = partial.exists()
    _persist(remote, partial, progress)
    if continued and file_sha256(partial, progress) != remote.sha256:
        partial.unlink()  # its beginning came from somewhere else: once more, whole
        _persist(remote, partial, progress)
    return Path(shutil.move(partial, into / remote.name))


def _persist(remote: Remote, partial: Path, progress: Progress | None) -> None:
    """Make `partial` as long as the file, over as many connections as it takes."""
    for attempt in range(ATTEMPTS):
        try:
            _resume(remote, partial, progress)
            return
        except urllib.error.HTTPError as error:  # an answer, not an accident: asking again will not help
            if error.code == 416 and remote.size_bytes is None and partial.exists():
                return  # nothing is left to send: what we have is all, and its hash will tell
            raise SourceFailed(f"answers {error.code} {error.reason} for {remote.name}") from error
        except (OSError, HTTPException) as error:
            if attempt + 1 == ATTEMPTS:
                reason = getattr(error, "reason", None) or error
                raise SourceFailed(f"cannot be read ({reason})") from error
            time.sleep(0.2 * 2**attempt)


def _resume(remote: Remote, partial: Path, progress: Progress | None) -> None:
    """Fetch what is still missing of `partial`; restart whole where the server does not continue."""
    have = partial.stat().st_size if partial.exists() else 0
    if have == remote.size_bytes:
        return
    if remote.size_bytes is not None and have > remote.size_bytes:
        have = 0
    request = urllib.request.Request(remote.url)
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT) as response:
        if not (response.status == 206 and _starts_at(response.headers, have)):
            have = 0
        promised = response.headers.get("Content-Length")
        total = have + int(promised) if promised is not None else remote.size_bytes
        if remote.size_bytes is not None and total != remote.size_bytes:
            # A login page, a newer version: not ours, and not worth keeping.
            raise SourceFailed(f"serves another file as {remote.name} ({total:,} bytes)")
        with partial.open("ab" if have else "wb") as writer:
            while (total is None or have < total) and (chunk := response.read(CHUNK)):
                have += writer.write(chunk if total is None else chunk[: total - have])
                if progress:
                    progress.update(have, total, "downloading")
    if total is not None and have < total:
        raise ConnectionError(f"connection closed after {have:,} of {total:,} bytes")


def _starts_at(headers: HTTPMessage, offset: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {offset}-")
