"""LastFM and Steam are what was published: the papers' counts, whole users where they can be had, no answers
in training."""

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.data.leakage import check_no_leak
from core.data.paper_rows import paper_rows
from core.data.registry import load_dataset
from core.domain import ARTISTS, GAMES
from core.errors import AssetError, DataError


@pytest.fixture(scope="module", autouse=True)
def _own_folder(shared_data: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ILORA_ASSET_DIR", str(shared_data))
        yield


@pytest.fixture(scope="module")
def lastfm(_own_folder: None) -> Dataset:
    return load_dataset("lastfm")


@pytest.fixture(scope="module")
def steam(_own_folder: None) -> Dataset:
    return load_dataset("steam")


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def _published(path: Path, pad: int) -> list[tuple[tuple[int, ...], int]]:
    """The rows that the papers keep, read the plain way."""
    return [
        (tuple(item for item in row["seq"] if item != pad), row["next"])
        for row in _lines(path)
        if row["len_seq"] >= 3
    ]


def test_lastfm_paper_split_is_the_published_one_row_by_row(lastfm: Dataset, shared_data: Path) -> None:
    for part, file, n in (("train", "train", 47_872), ("validation", "val", 122), ("test", "test", 122)):
        rows = _published(shared_data / "lastfm" / f"{file}.jsonl.gz", 4606)
        assert len(rows) == n
        assert paper_rows(lastfm, part) == rows


def test_steam_paper_split_asks_what_was_published(steam: Dataset, shared_data: Path) -> None:
    for part, file, n in (("validation", "val", 1184), ("test", "test", 1186)):
        rows = _published(shared_data / "steam" / f"{file}.jsonl.gz", 3581)
        assert len(rows) == n
        assert paper_rows(steam, part) == rows


def test_steam_paper_split_trains_on_every_prefix_of_the_training_windows(
    steam: Dataset, shared_data: Path
) -> None:
    windows = _published(shared_data / "steam" / "train_sample1000.jsonl.gz", 3581)
    assert list(steam.split("paper").train) == [(*h, target) for h, target in windows]
    prefixes = [(h[:n], (*h, t)[n]) for h, t in windows for n in range(3, len(h) + 1)]
    assert paper_rows(steam, "train") == prefixes and len(prefixes) == 7948


def test_paper_users_are_disjoint(lastfm: Dataset, steam: Dataset) -> None:
    for dataset, train in ((lastfm, 976), (steam, 1000)):
        split = dataset.split("paper")
        parts = [set(split.train_users), {c.user for c in split.validation}, {c.user for c in split.test}]
        assert len(parts[0]) == train
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_lastfm_users_are_whole_again(lastfm: Dataset) -> None:
    whole = lastfm.sequences[:976]
    assert sum(map(len, whole)) == 50_800 and max(map(len, whole)) == 986
    assert all(len(set(sequence)) == len(sequence) for sequence in lastfm.sequences)


def test_loo_asks_every_user_with_five_items_for_the_last_one(lastfm: Dataset, steam: Dataset) -> None:
    for dataset, n in ((lastfm, 1114), (steam, 3323)):
        split = dataset.split("loo")
        long_enough = [user for user, sequence in enumerate(dataset.sequences) if len(sequence) >= 5]
        assert len(split.test) == len(split.validation) == len(long_enough) == n
        for user, validation, test in zip(long_enough, split.validation, split.test, strict=True):
            assert (*test.history, test.target) == dataset.sequences[user]
            assert (*validation.history, validation.target) == test.history
            assert validation.user == test.user == user


def test_every_distinct_published_steam_window_is_a_user(steam: Dataset) -> None:
    assert len(steam.users) == len(set(steam.sequences)) == 3388


def test_steam_windows_of_one_person_do_not_train_on_each_others_answers(
    steam: Dataset, shared_data: Path
) -> None:
    """Rows d lines apart are one person's, d positions apart, where the windows agree."""
    rows = {row["row"]: row for row in _lines(shared_data / "steam" / "train_sample1000.jsonl.gz")}
    split = steam.split("loo")
    train = dict(zip(split.train_users, split.train, strict=True))
    user = {name: index for index, name in enumerate(steam.users)}
    overlapping = 0
    for row, first in rows.items():
        for shift in range(1, 11):
            other = rows.get(row + shift)
            if other is None or (*first["seq"], first["next"])[shift:] != tuple(other["seq"][: 11 - shift]):
                continue
            overlapping += 1
            asked = {first["seq"][9], first["next"]}
            assert not asked & set(train.get(user[f"train-{row + shift}"], ()))
    assert overlapping == 42
    shortened = sum(len(train.get(case.user, ())) < len(case.history) for case in split.validation)
    assert 0 < shortened <= 42


def test_the_real_splits_are_clean(lastfm: Dataset, steam: Dataset) -> None:
    for dataset in (lastfm, steam):
        check_no_leak(dataset)


def test_user_ids_are_unique_and_name_the_published_row(steam: Dataset, shared_data: Path) -> None:
    assert len(set(steam.users)) == 3388
    for file, part in (("train_sample1000", "train"), ("val", "val"), ("test", "test")):
        for row in _lines(shared_data / "steam" / f"{file}.jsonl.gz")[:20]:
            sequence = steam.sequences[steam.users.index(f"{part}-{row['row']}")]
            assert (*[item for item in row["seq"] if item != 3581], row["next"]) == sequence


def test_titles_and_wording_fit_the_items(lastfm: Dataset, steam: Dataset) -> None:
    assert (lastfm.num_items, lastfm.catalog[2].title, lastfm.domain) == (4606, "Café Del Mar", ARTISTS)
    assert (steam.num_items, steam.catalog[2].title, steam.domain) == (3581, "Half-Life", GAMES)
    assert "non-commercial" in lastfm.terms and "no licence" in steam.terms


def test_content_hashes_are_pinned(lastfm: Dataset, steam: Dataset) -> None:
    # Bundles name these hashes: a change of titles, order or splits must be a decision, not an accident.
    assert lastfm.sha256 == "a35b2296ba89c527ae60c038e53e2e1d09093f63a34f23d5b86c2d9d4feba558"
    assert steam.sha256 == "fe892141e31873c51e0d6ae830720c7fcb902cfa51569891c0c252ea206ece72"


def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path, name: str = "lastfm") -> Path:
    folder = tmp_path / name
    shutil.copytree(source / name, folder)
    folder.chmod(0o755)
    monkeypatch.setenv("ILORA_ASSET_DIR", str(tmp_path))
    return folder


def test_plain_files_under_the_publishers_names_are_the_same_data(
    lastfm: Dataset, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _own(tmp_path, monkeypatch, shared_data)
    (folder / "titles.txt").rename(folder / "id2name.txt")
    for packed in folder.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert load_dataset("lastfm").sha256 == lastfm.sha256


def test_consecutive_rows_of_a_steam_user_become_one_sequence(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole training file has one row per position; here a person of 14 games and one of 5."""
    folder = _own(tmp_path, monkeypatch, shared_data, "steam")
    (folder / "train_sample1000.jsonl.gz").unlink()
    people = [tuple(range(14)), (20, 21, 22, 23, 24)]
    (folder / "train.jsonl").write_text("".join(_rows(person) for person in people))
    dataset = load_dataset("steam")
    assert dataset.sequences[:2] == tuple(people)
    assert dataset.users[:3] == ("train-0", "train-13", "val-0")


def _rows(person: Sequence[int]) -> str:
    lines = []
    for position in range(1, len(person)):
        history = list(person[max(0, position - 10) : position])
        padded = history + [3581] * (10 - len(history))
        lines.append(json.dumps({"seq": padded, "len_seq": len(history), "next": person[position]}) + "\n")
    return "".join(lines)


def test_without_a_folder_one_sentence_says_what_to_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ILORA_ASSET_DIR")
    with pytest.raises(AssetError) as failed:
        load_dataset("steam")
    message = str(failed.value)
    assert "\n" not in message
    for part in ("titles.txt or id2name.txt", "train_data.df", "ILORA_ASSET_DIR", "LLaRA", "sha256"):
        assert part in message


def test_a_missing_part_is_named(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _own(tmp_path, monkeypatch, shared_data)
    (folder / "val.jsonl.gz").unlink()
    with pytest.raises(AssetError, match=r"lastfm \(ILORA_ASSET_DIR\) lacks val.jsonl.gz or Val_data.df"):
        load_dataset("lastfm")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", 'line 1 needs the fields "seq", "len_seq" and "next"'),
        ('{"seq": [1], "len_seq": 1}', 'line 1 needs the fields "seq", "len_seq" and "next"'),
        ('{"seq": [1, 4606], "len_seq": 1, "next": 4606}', "names item 4606; items are 0 to 4605"),
        ('{"seq": [4606, 1], "len_seq": 2, "next": 2}', "4606 pads on the right"),
        ('{"seq": [1, 4606], "len_seq": 2, "next": 3}', '"len_seq" is 2, but 1 items are there'),
        ('{"seq": ["1"], "len_seq": 1, "next": 3}', "names item 1; items are"),
        ('{"seq": [1.0], "len_seq": 1, "next": 3}', "names item 1.0; items are"),
        ('{"seq": [1,2,3,4,5,6,7,8,9,10,11], "len_seq": 11, "next": 0}', "at most 10 item ids"),
    ],
)
def test_a_line_that_is_no_window_is_named(
    line: str, sentence: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _own(tmp_path, monkeypatch, shared_data)
    (folder / "val.jsonl.gz").unlink()
    (folder / "val.jsonl").write_text(line + "\n")
    with pytest.raises(DataError) as failed:
        load_dataset("lastfm")
    assert sentence in str(failed.value) and "val.jsonl" in str(failed.value)


@pytest.mark.parametrize(
    ("titles", "sentence"),
    [
        ("0::A\n2::B\n", 'line 2 must be "1::title"'),
        ("0::A\nB\n", 'line 2 must be "1::title"'),
        ("", "holds no titles"),
    ],
)
def test_titles_out_of_order_are_named(
    titles: str, sentence: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _own(tmp_path, monkeypatch, shared_data)
    (folder / "titles.txt").unlink()
    (folder / "titles.txt").write_text(titles)
    with pytest.raises(DataError, match=sentence):
        load_dataset("lastfm")


def test_a_damaged_gzip_is_one_sentence(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _own(tmp_path, monkeypatch, shared_data)
    cut = (folder / "val.jsonl.gz").read_bytes()[:-100]
    (folder / "val.jsonl.gz").unlink()
    (folder / "val.jsonl.gz").write_bytes(cut)
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset("lastfm")
