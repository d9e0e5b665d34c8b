"""Brought data sets: your folder first, then the cache, then the publishers; never unseen, never in part."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.assets import BROUGHT, Brought, brought_files, fetch_brought, list_assets
from core.assets.brought import Published
from core.errors import AssetError

FILES = {"big.dat": bytes(range(256)) * 6000, "small.txt": "Les Misérables\n".encode()}
HASHES = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}


@dataclass
class Publisher:
    """A server on this machine: what it serves by path, how badly, and what it was asked for."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=lambda: {f"/pub/{n}": b for n, b in FILES.items()})
    break_after: list[int] = field(default_factory=list)
    lengths: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    served = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append((self.path, wanted))
            body = served.bodies.get(self.path)
            if body is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if served.lengths:
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = start + served.break_after.pop(0) if served.break_after else len(body)
            self.wfile.write(body[start:end])

        def log_message(self, *_: object) -> None:
            """Say nothing between the test's dots."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield served
        http.shutdown()


def _record(url: str, hashes: dict[str, str]) -> Brought:
    return Brought(
        name="pair",
        version="1",
        parts=(("big.dat.gz", "big.dat"), ("small.txt",)),
        licence="CC0-1.0",
        terms="Made for tests.",
        origin="nobody's page",
        published=tuple(Published(f"{url}/pub/{name}", hashes.get(name)) for name in FILES),
    )


@pytest.fixture
def hashed(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair, with hashes known beforehand."""
    monkeypatch.setitem(BROUGHT, "pair", _record(publisher.url, HASHES))


@pytest.fixture
def unhashed(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair, of which only the small file's hash is known."""
    monkeypatch.setitem(BROUGHT, "pair", _record(publisher.url, {"small.txt": HASHES["small.txt"]}))


def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    folder = tmp_path / "own" / "pair"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(FILES[name])
    monkeypatch.setenv("ILORA_ASSET_DIR", str(tmp_path / "own"))
    return folder


@pytest.mark.usefixtures("hashed")
def test_own_folder_is_read_where_it_lies_and_nothing_is_downloaded(
    publisher: Publisher, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _own(tmp_path, monkeypatch, "big.dat", "small.txt")
    assert brought_files("pair") == (folder / "big.dat", folder / "small.txt")
    assert publisher.asked == [] and not cache.exists()


@pytest.mark.usefixtures("hashed")
def test_own_folder_that_lacks_a_part_is_said_and_not_completed_from_elsewhere(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _own(tmp_path, monkeypatch, "small.txt")
    with pytest.raises(AssetError, match=r"lacks big.dat.gz or big.dat: pair comes from nobody's page"):
        brought_files("pair")
    assert publisher.asked == []


@pytest.mark.usefixtures("hashed")
def test_known_hashes_are_downloaded_once_and_kept(publisher: Publisher, cache: Path) -> None:
    told: list[str] = []

    class Watched:
        def update(self, done_bytes: int, total_bytes: int | None, step: str) -> None:
            told.append(step)

    big, small = brought_files("pair", Watched())
    assert (big.read_bytes(), small.read_bytes()) == tuple(FILES.values())
    assert {"downloading", "checking"} <= set(told)
    publisher.bodies.clear()
    assert brought_files("pair") == (big, small)
    assert fetch_brought("pair", verify=True) == cache / "assets" / "pair"


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("lengths", [True, False], ids=["length told", "length not told"])
def test_broken_download_goes_on_where_it_stopped(publisher: Publisher, lengths: bool) -> None:
    publisher.lengths, publisher.break_after = lengths, [1_000_000]
    if lengths:
        assert brought_files("pair")[0].read_bytes() == FILES["big.dat"]
        assert publisher.asked[1] == ("/pub/big.dat", "bytes=1000000-")
    else:  # without a length the end of a connection is the end of the file: only the hash knows better
        with pytest.raises(AssetError, match="delivers a file with the sha256"):
            brought_files("pair")


@pytest.mark.usefixtures("hashed")
def test_download_that_broke_off_for_good_is_resumed_next_time(publisher: Publisher, cache: Path) -> None:
    publisher.break_after = [700_000, 0, 0, 0]
    with pytest.raises(AssetError, match="connection closed after 700,000 of"):
        brought_files("pair")
    assert not (cache / "assets" / "pair").exists()
    publisher.asked.clear()
    brought_files("pair")
    assert publisher.asked[0] == ("/pub/big.dat", "bytes=700000-")


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(FILES["big.dat"]), b"x" * 2_000_000])
def test_what_lies_there_under_its_name_but_is_another_file_is_restarted_whole(
    publisher: Publisher, cache: Path, left: bytes
) -> None:
    partial = cache / "assets" / ".partial" / f"{HASHES['big.dat'][:16]}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    assert brought_files("pair")[0].read_bytes() == FILES["big.dat"]


@pytest.mark.usefixtures("hashed")
def test_changed_file_is_refused_and_nothing_of_it_is_kept(publisher: Publisher, cache: Path) -> None:
    publisher.bodies["/pub/small.txt"] = b"Les Miserables!\n"
    with pytest.raises(AssetError, match=rf"delivers a file with the sha256 \w+, not {HASHES['small.txt']}"):
        brought_files("pair")
    assert not [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]


@pytest.mark.usefixtures("hashed")
def test_damage_in_the_cache_is_noticed_and_mended(publisher: Publisher) -> None:
    big, _ = brought_files("pair")
    big.write_bytes(b"\0" * len(FILES["big.dat"]))
    assert brought_files("pair")[0].read_bytes() == FILES["big.dat"]


@pytest.mark.usefixtures("unhashed")
def test_nothing_is_downloaded_unseen(publisher: Publisher) -> None:
    with pytest.raises(AssetError) as failed:
        brought_files("pair")
    message = str(failed.value)
    assert "\n" not in message and publisher.asked == []
    for part in ("no sha256 of big.dat is known", "ILORA_ASSET_DIR", "nobody's page"):
        assert part in message
    assert "`ilora data fetch pair --sha256 big.dat=...`" in message


@pytest.mark.usefixtures("unhashed")
def test_a_hash_that_you_say_is_held_to_and_remembered(publisher: Publisher) -> None:
    with pytest.raises(AssetError, match=f"not {'0' * 64}"):
        fetch_brought("pair", sha256={"big.dat": "0" * 64})
    folder = fetch_brought("pair", sha256={"big.dat": HASHES["big.dat"]})
    publisher.bodies.clear()
    assert brought_files("pair") == (folder / "big.dat", folder / "small.txt")
    # What is in the cache now is held to the hash it came with.
    (folder / "big.dat").write_bytes(b"changed")
    with pytest.raises(AssetError, match=r"no sha256 of big.dat is known"):
        brought_files("pair")


@pytest.mark.usefixtures("unhashed")
def test_a_known_hash_is_not_talked_away(publisher: Publisher) -> None:
    with pytest.raises(AssetError, match=r"The sha256 of small.txt is known to be"):
        fetch_brought("pair", sha256={"big.dat": HASHES["big.dat"], "small.txt": "0" * 64})
    assert publisher.asked == []


@pytest.mark.usefixtures("unhashed")
def test_own_address_serves_the_files_that_you_name(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_URL", f"{publisher.url}/mirror/")
    publisher.bodies = {f"/mirror/pair/{name}": body for name, body in FILES.items()}
    fetch_brought("pair", sha256=HASHES)
    assert [path for path, _ in publisher.asked] == ["/mirror/pair/big.dat", "/mirror/pair/small.txt"]


@pytest.mark.usefixtures("hashed")
def test_files_that_are_not_all_of_it_are_refused(
    publisher: Publisher, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_URL", publisher.url)
    publisher.bodies = {"/pair/small.txt": FILES["small.txt"]}
    with pytest.raises(AssetError, match=r"small.txt is not all of pair"):
        fetch_brought("pair", sha256={"small.txt": HASHES["small.txt"]})
    assert not (cache / "assets" / "pair").exists()


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("address", ["file:///etc", "ftp://127.0.0.1", "somewhere"])
def test_address_that_is_not_http_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILORA_ASSET_URL", address)
    with pytest.raises(AssetError, match="is no http"):
        brought_files("pair")


@pytest.mark.usefixtures("hashed")
def test_missing_file_is_one_sentence_with_what_helps(publisher: Publisher) -> None:
    publisher.bodies.clear()
    with pytest.raises(AssetError, match=r"big.dat answers 404 .*Set ILORA_ASSET_DIR to a folder"):
        brought_files("pair")
    assert len(publisher.asked) == 1


@pytest.mark.usefixtures("hashed")
def test_list_tells_where_it_is_and_else_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed() -> tuple[bool, str]:
        status = next(status for status in list_assets() if status.name == "pair")
        assert status.optional and status.size_bytes is None
        return status.cached, status.how

    assert listed() == (False, "Fetched on first use, or with `ilora data fetch pair`.")
    brought_files("pair")
    assert listed() == (True, "")
    _own(tmp_path, monkeypatch, "big.dat")
    assert "lacks small.txt" in listed()[1]


def test_what_is_known_of_the_real_ones_is_whole() -> None:
    for known in BROUGHT.values():
        assert known.licence and known.terms and known.origin and known.parts
        offered = {file.file_name for file in known.published}
        assert not offered or all(offered & set(names) for names in known.parts)
        assert all(file.url.startswith("https://") for file in known.published)
