"""A tiny asset that is fetched for real: own wheel, own folder, own HTTP server, own package index."""

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.assets import ASSETS, Asset, Member

CONTENT = {"big.bin": os.urandom(3_000_000), "small.txt": "Les Misérables\n".encode()}


def _wheel() -> bytes:
    """A wheel that pip accepts, with two members; stored, so that its size is what was put in."""
    info = "tiny_asset-1.0.dist-info"
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(f"tiny_asset/data/{name}", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    return written.getvalue()


WHEEL = _wheel()
TINY = Asset(
    name="tiny",
    kind="dataset",
    package="tiny-asset",
    version="1.0",
    wheel="tiny_asset-1.0-py3-none-any.whl",
    wheel_bytes=len(WHEEL),
    wheel_sha256=hashlib.sha256(WHEEL).hexdigest(),
    members=tuple(
        Member(f"tiny_asset/data/{name}", len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENT.items()
    ),
    licence="CC0-1.0",
    terms="Made for tests.",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no own sources, no registry, and the tiny asset known."""
    monkeypatch.setitem(ASSETS, "tiny", TINY)
    monkeypatch.setenv("ILORA_CACHE", str(tmp_path / "cache"))
    for variable in ("ILORA_ASSET_DIR", "ILORA_ASSET_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "cache"


@pytest.fixture
def wheel() -> bytes:
    """The tiny asset's wheel."""
    return WHEEL


@pytest.fixture
def contents() -> dict[str, bytes]:
    """What is in it, by file name."""
    return CONTENT


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder, still empty."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("ILORA_ASSET_DIR", str(folder))
    return folder


@dataclass
class Served:
    """What the server serves and how badly; what it was asked for."""

    url: str = ""
    body: bytes = WHEEL
    break_after: list[int] = field(default_factory=list)  # bytes after which each next answer breaks off
    ranges: bool = True
    lengths: bool = True  # whether answers say how long they are
    delay: Callable[[], None] = lambda: None
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A real HTTP server on this machine, set as the own address."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
            if self.path != f"/files/{TINY.wheel}":
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and served.ranges else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(served.body) - 1}/{len(served.body)}")
            rest = served.body[start:]
            if served.lengths:
                self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            served.delay()
            broken = served.break_after.pop(0) if served.break_after else len(rest)
            self.wfile.write(rest[:broken])

        def log_message(self, *_: object) -> None:
            """Say nothing between the test's dots."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served.url = f"http://127.0.0.1:{http.server_port}/files"
        monkeypatch.setenv("ILORA_ASSET_URL", served.url)
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield served
        http.shutdown()
