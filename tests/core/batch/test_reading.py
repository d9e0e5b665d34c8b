"""Files of histories: both layouts give the same people, nothing is guessed in silence, nothing is lost."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.batch.layout import entries_of
from core.batch.people import People
from core.batch.reading import read_histories
from core.catalog import Catalog, Item
from core.errors import DataError

TITLES = ["Fargo (1996)", "Heat (1995)", "Seven (1995)", "The Usual Suspects (1995)", "187 (1997)"]
HISTORIES = {"ann": [0, 1], "bob": [3], "eve": [2, 0, 1]}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    years = [int(title[-5:-1]) for title in TITLES]
    return Catalog(
        Item(index, str(index + 100), title, year)
        for index, (title, year) in enumerate(zip(TITLES, years, strict=True))
    )


def _histories(people: People) -> dict[str, list[int]]:
    return {user: list(people.history(row)) for row, user in enumerate(people.users)}


def _write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_every_layout_of_the_same_histories_gives_the_same_people(tmp_path: Path, catalog: Catalog) -> None:
    ids = {user: [str(item + 100) for item in items] for user, items in HISTORIES.items()}
    names = {user: [TITLES[item] for item in items] for user, items in HISTORIES.items()}
    lists = [{"user": user, "history": own} for user, own in names.items()]
    events = [(user, entry) for user, own in ids.items() for entry in own]
    pq.write_table(pa.Table.from_pylist(lists), tmp_path / "lists.parquet")
    files = [
        tmp_path / "lists.parquet",
        _write(tmp_path / "lists.jsonl", [json.dumps(row) for row in lists]),
        _write(tmp_path / "lists.csv", ["user,history", *(f'{u},"{"|".join(o)}"' for u, o in names.items())]),
        _write(tmp_path / "bare.csv", [f"{u};{'|'.join(o)}" for u, o in names.items()]),
        _write(tmp_path / "numbers.csv", ["user,items", *(f'{u},"{" ".join(o)}"' for u, o in ids.items())]),
        _write(tmp_path / "rows.csv", ["user,item", *(f"{u},{entry}" for u, entry in events)]),
        _write(
            tmp_path / "titles.csv", ["user,title", *(f'{u},"{TITLES[int(e) - 100]}"' for u, e in events)]
        ),
        _write(
            tmp_path / "timed.csv",
            [
                "user,item,timestamp",
                *(f"{u},{e},{9e8 - at:.0f}" for at, (u, e) in enumerate(reversed(events))),
            ],
        ),
    ]
    for file in files:
        people, report = read_histories(file, catalog)
        assert _histories(people) == HISTORIES, (file.name, report.words)
        assert report.unknown == 0 and report.people == 3 and report.known == 6, file.name


def test_times_order_a_history_and_first_rows_order_the_people(tmp_path: Path, catalog: Catalog) -> None:
    rows = ["user,item,time", "bob,100,1000000300", "ann,101,1000000200", "bob,102,1000000100"]
    people, _ = read_histories(_write(tmp_path / "x.csv", rows), catalog)
    assert _histories(people) == {"bob": [2, 0], "ann": [1]}


def test_unknown_entries_are_counted_with_the_closest_titles(tmp_path: Path, catalog: Catalog) -> None:
    rows = ["user,history", "ann,Farrgo|Heat (1995)|Heat", "bob,Farrgo|🎬", "eve,Fargo"]
    people, report = read_histories(_write(tmp_path / "x.csv", rows), catalog)
    assert _histories(people) == {"ann": [1], "bob": [], "eve": [0]}
    assert people.unknown.tolist() == [1, 2, 0]
    assert (report.unknown, report.distinct_unknown, report.repeated, report.without_anything) == (3, 2, 1, 1)
    first = report.most_unknown[0]
    assert (first.entry, first.times, first.closest[0]) == ("Farrgo", 2, "Fargo (1996)")
    assert report.most_unknown[1].closest == ()  # no letter to compare
    told = " ".join(report.sentences)
    assert "3 rows read, 3 people, 3 of 6 entries known" in told
    assert "Nothing is known of 1 person" in told and "kept once" in told


def test_bad_rows_are_told_with_their_line(tmp_path: Path, catalog: Catalog) -> None:
    _, report = read_histories(
        _write(tmp_path / "x.csv", ["user,item", "ann,100", ",101", "bob,102"]), catalog
    )
    assert report.people == 2 and report.rows == 3
    assert any("line 3" in sentence for sentence in report.sentences)


def test_too_many_people_and_files_without_people_are_refused(tmp_path: Path, catalog: Catalog) -> None:
    for head in ("user,history", "user,item"):
        file = _write(tmp_path / f"{head}.csv", [head, *(f"u{number},100" for number in range(5))])
        with pytest.raises(DataError, match="more than 4 people"):
            read_histories(file, catalog, most=4)
        assert read_histories(file, catalog, most=5)[1].people == 5
    with pytest.raises(DataError, match="nobody"):
        read_histories(_write(tmp_path / "x.csv", ["user,history", ",100"]), catalog)


def test_a_comma_in_a_title_divides_nothing() -> None:
    assert entries_of("Usual Suspects, The") == ["Usual Suspects, The"]
    assert entries_of("12, 13,14") == ["12", "13", "14"]
    assert entries_of('["A|B", 3]') == ["A|B", "3"]
    assert entries_of("12 Monkeys") == ["12 Monkeys"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6, unique=True), min_size=1, max_size=8))
def test_people_give_back_what_they_were_made_of(histories: list[list[int]]) -> None:
    people = People.of([str(row) for row in range(len(histories))], histories, [0] * len(histories))
    assert [list(people.history(row)) for row in range(len(people))] == histories
    assert people.without_anything == sum(not history for history in histories)
    assert (
        people.digest != People.of(people.users, [[*histories[0], 11], *histories[1:]], people.unknown).digest
    )
