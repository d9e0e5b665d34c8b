"""Real data sets through the import hold what their own loaders make of them."""

from pathlib import Path

import pytest

from core.assets import MOVIELENS, fetch
from core.data.dataset import Dataset
from core.data.importing.run import import_dataset
from core.data.importing.store import load_imported
from core.data.importing.wanted import Rules, Wanted
from core.data.registry import load_dataset
from core.domain import domain_of


def _by_title(dataset: Dataset) -> dict[str, list[str]]:
    return {
        user: [dataset.catalog[item].title for item in sequence]
        for user, sequence in zip(dataset.users, dataset.sequences, strict=True)
    }


def test_movielens_through_import_is_the_loaders_own(tmp_path: Path) -> None:
    folder, own = fetch(MOVIELENS), load_dataset("movielens")
    rules = Rules(min_rating=3, keep_unseen=True)
    wanted = Wanted(
        folder / "ml-100k.inter",
        folder / "ml-100k.item",
        rules=rules,
        domain=domain_of("movie"),
        out=tmp_path / "ml",
    )
    report = import_dataset(wanted)
    mine = load_imported(tmp_path / "ml")
    assert (mine.users, mine.sequences, mine.domain) == (own.users, own.sequences, own.domain)
    assert mine.splits["loo"] == own.splits["loo"]
    assert mine.catalog.popularity == own.catalog.popularity
    for ours, theirs in zip(mine.catalog.items, own.catalog.items, strict=True):
        if theirs.title != "unknown":  # a slip of the packaged file, which only its own loader mends
            assert ours == theirs
    assert [effect.dropped for effect in report.effects] == [17_480, 0]
    assert (report.first_day, report.last_day, report.asked) == ("1997-09-20", "1998-04-22", 943)


def test_steam_reviews_as_raw_csv_hold_what_their_loader_finds(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILORA_ASSET_DIR", str(shared_data))
    own = load_dataset("steam_reviews")
    files = shared_data / "steam_reviews"
    rules = Rules(drop_undated=True, drop_untitled=True, articles_to_front=False)
    wanted = Wanted(
        files / "reviews.csv.gz",
        files / "titles.csv.gz",
        rules=rules,
        domain=domain_of("game"),
        out=tmp_path / "s",
    )
    report = import_dataset(wanted)
    mine = load_imported(tmp_path / "s")
    assert (report.taken[0].rows, report.taken[1].rows) == (58_242, 32_132)
    assert (report.users, report.items, report.interactions) == (21_699, 2503, 43_850)
    theirs, ours = _by_title(own), _by_title(mine)
    # Twins and years aside, which the two mark differently, every history is the same.
    same = sum(ours[user] == theirs[user] for user in theirs)
    assert set(ours) == set(theirs) and same >= 0.999 * len(theirs)
    ids = {item.item_id for item in own.catalog.items}
    assert {item.item_id for item in mine.catalog.items} == ids
