"""Dated reviews become sequences by date, with ties and repetitions handled as said."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.domain import GAMES
from core.errors import AssetError, DataError

TITLES = 'item_id,title\n10,Half-Life\n20,"Papers, Please"\n30,Portal\n40,\n50,Portal\n60,Braid\n70,Unread\n'


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ILORA_ASSET_DIR", str(shared_data))
        return load_dataset("steam_reviews")


def _brought(folder: Path, monkeypatch: pytest.MonkeyPatch, reviews: str, titles: str = TITLES) -> None:
    own = folder / "steam_reviews"
    own.mkdir()
    (own / "reviews.csv").write_text("user,item_id,posted,recommend\n" + reviews, encoding="utf-8")
    (own / "titles.csv").write_text(titles, encoding="utf-8")
    monkeypatch.setenv("ILORA_ASSET_DIR", str(folder))


def test_counts_are_those_of_dated_and_titled_reviews(real: Dataset) -> None:
    assert (len(real.users), real.num_items, real.interactions) == (21_699, 2503, 43_850)
    assert list(real.splits) == ["loo"]
    assert len(real.split("loo").test) == len(real.split("loo").train) == 1941
    assert real.domain == GAMES


def test_content_hash_is_pinned(real: Dataset) -> None:
    assert real.sha256 == "0b9b3d3b33a1384e0c14673b0d6ef3539c9c9feb473e87fcacaef753344a7da7"


def test_every_sequence_is_its_users_reviews_by_date(real: Dataset, shared_data: Path) -> None:
    packed = (shared_data / "steam_reviews" / "reviews.csv.gz").read_bytes()
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))
    known = {user: index for index, user in enumerate(real.users)}
    reviews: dict[str, list[tuple[str, int, str]]] = {}
    for place, row in enumerate(rows):
        if row["posted"] and row["title"]:
            reviews.setdefault(row["user"], []).append((row["posted"], place, row["title"]))
    assert set(reviews) == set(known)
    for user, written in reviews.items():
        titles = [real.catalog[item].title for item in real.sequences[known[user]]]
        assert titles == [title for _, _, title in sorted(written)]


def test_one_day_keeps_the_files_order_and_a_second_review_its_first_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _brought(
        tmp_path,
        monkeypatch,
        "ann,60,2013-05-02,True\nann,10,2013-05-01,True\nann,20,2013-05-01,False\nann,60,2013-04-01,True\n",
    )
    dataset = load_dataset("steam_reviews")
    [sequence] = dataset.sequences
    assert [dataset.catalog[item].title for item in sequence] == ["Braid", "Half-Life", "Papers, Please"]


def test_what_has_no_date_or_no_title_is_left_out_and_twins_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _brought(
        tmp_path,
        monkeypatch,
        "ann,10,,True\nann,40,2013-05-01,True\nann,99,2013-05-01,True\n"
        "bob,50,2013-05-02,True\nbob,30,2013-05-03,True\n",
    )
    dataset = load_dataset("steam_reviews")
    assert dataset.users == ("bob",)
    assert [(item.item_id, item.title) for item in dataset.catalog.items] == [
        ("30", "Portal"),
        ("50", "Portal [50]"),
    ]


@pytest.mark.parametrize(
    ("reviews", "titles", "sentence"),
    [
        ("ann,10,May 2013,True\n", TITLES, 'reviews.csv line 2 is dated "May 2013"; dates are YYYY-MM-DD'),
        (",10,2013-05-01,True\n", TITLES, "reviews.csv line 2 names no user"),
        ("ann,10\n", TITLES, "reviews.csv line 2 has fewer columns"),
        ("", "item_id\n1\n", "titles.csv lacks the column title"),
        ("", "item_id,title\n1,A\n1,B\n", 'titles.csv line 3 has the item_id "1"'),
    ],
)
def test_broken_files_are_one_sentence(
    reviews: str, titles: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _brought(tmp_path, monkeypatch, reviews, titles)
    with pytest.raises(DataError) as failed:
        load_dataset("steam_reviews")
    assert sentence in str(failed.value)


def test_without_a_folder_it_says_what_to_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ILORA_ASSET_DIR", raising=False)
    with pytest.raises(AssetError, match=r"reviews.csv.gz or reviews.csv; titles.csv.gz or titles.csv"):
        load_dataset("steam_reviews")
