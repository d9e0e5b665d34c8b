"""An imported data set lies whole in its folder, is found by name or path, and is checked when it is read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.description import describe
from core.data.importing.run import import_dataset
from core.data.importing.store import list_imported
from core.data.importing.wanted import Wanted
from core.data.registry import DATASETS, load_dataset, name_of
from core.domain import domain_of
from core.errors import DataError
from tests.core.data.importing.conftest import Imported

CONTENT = "user,item,rating,time\n" + "".join(f"ann,{n},{n % 5},{1_300_000_000 + n}\n" for n in range(30))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ILORA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "books.csv"
    path.write_text(CONTENT)
    return path


def test_it_is_found_by_name_and_listed(file: Path) -> None:
    report = import_dataset(Wanted(file, name="books", domain=domain_of("book"), terms="Ours."))
    dataset = load_dataset("books")
    assert (dataset.sha256, dataset.domain.done, dataset.terms) == (report.sha256, "read", "Ours.")
    assert describe(dataset).interactions == 30
    [kept] = list_imported()
    assert (kept.name, kept.files, kept.terms) == ("books", ("books.csv",), "Ours.")


def test_it_is_found_by_its_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    report = import_dataset(Wanted(file, name="books", out=Path("here/my-data")))
    for name in ("./here/my-data", "here/my-data", str(file.parent / "here" / "my-data")):
        assert load_dataset(name).sha256 == report.sha256
        assert name_of(name) == "books"  # a run knows its data by folder, results know it by name
    assert list_imported() == []


def test_the_same_file_is_the_same_data_set(file: Path, tmp_path: Path) -> None:
    hashes = {import_dataset(Wanted(file, out=tmp_path / f"{n}"), size=n).sha256 for n in (1, 7, 99)}
    assert len(hashes) == 1


def test_there_is_no_published_split(file: Path) -> None:
    import_dataset(Wanted(file, name="books"))
    with pytest.raises(DataError, match='books has no split "paper"; it has: loo'):
        load_dataset("books").split("paper")


def test_report_and_manifest_are_json(importing: Callable[..., Imported]) -> None:
    done = importing(CONTENT)
    report = json.loads((done.folder / "report.json").read_text(encoding="utf-8"))
    assert report["interactions"] == 30 and report["sha256"] == done.dataset.sha256
    manifest = json.loads((done.folder / "dataset.json").read_text(encoding="utf-8"))
    assert manifest["time_unit"] == "s" and list(manifest["made_from"]) == ["events.csv"]
    assert str(done.folder.parent) not in json.dumps([report, manifest])  # no path of this machine travels


@pytest.mark.parametrize("table", ["users", "items", "interactions"])
def test_a_table_that_was_changed_is_noticed(table: str, importing: Callable[..., Imported]) -> None:
    done = importing(CONTENT)
    path = done.folder / f"{table}.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=rf"{table}\.parquet is not what was imported"):
        load_dataset(str(done.folder))


@pytest.mark.parametrize(
    "manifest", [None, "{", "[]", '{"schema": 1, "files": {}}', '{"schema": 9, "files": {}}']
)
def test_a_folder_that_is_none_is_one_sentence(manifest: str | None, tmp_path: Path) -> None:
    if manifest is not None:
        (tmp_path / "dataset.json").write_text(manifest)
    with pytest.raises(DataError, match=r"holds no imported data set|another version"):
        load_dataset(str(tmp_path))


def test_a_taken_name_or_folder_is_refused(file: Path, tmp_path: Path) -> None:
    import_dataset(Wanted(file, name="books"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    refused = (
        (Wanted(file, name="books"), "holds a data set already"),
        (Wanted(file, name="movielens"), "a data set of the product"),
        (Wanted(file, name="My Books"), "cannot be a data set's name"),
        (Wanted(file, name="../books"), "cannot be a data set's name"),
        (Wanted(file, out=tmp_path / "full", replace=True), "is no imported data set"),
    )
    for wanted, sentence in refused:
        with pytest.raises(DataError, match=sentence):
            import_dataset(wanted, tuple(DATASETS))
    assert (tmp_path / "full" / "precious.txt").exists()


def test_a_failed_replacement_leaves_the_old_one(file: Path, tmp_path: Path) -> None:
    before = import_dataset(Wanted(file, name="books"))
    file.write_text("user,item\na,b\n")
    with pytest.raises(DataError, match=r"Nobody in books\.csv"):
        import_dataset(Wanted(file, name="books", replace=True))
    assert load_dataset("books").sha256 == before.sha256
    assert [path.name for path in (tmp_path / "cache" / "datasets").iterdir()] == ["books"]


def test_a_dry_run_keeps_nothing(file: Path, tmp_path: Path) -> None:
    report = import_dataset(Wanted(file, name="books"), dry_run=True)
    assert report.interactions == 30 and list_imported() == []


def test_an_unknown_name_says_how_to_bring_ones_own(file: Path) -> None:
    import_dataset(Wanted(file, name="books"))
    with pytest.raises(DataError, match=r"there is: books, lastfm, .*`ilora data import`"):
        load_dataset("boks")
