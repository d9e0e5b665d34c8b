"""Rows that cannot be used are counted, named by line and kept aside; nothing vanishes."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.importing.rejects import (
    BAD_ID,
    BAD_RATING,
    BAD_TIME,
    ENCODING,
    FIELDS,
    ITEM_AGAIN,
    NO_ITEM,
    NO_OBJECT,
    NO_RATING,
    NO_USER,
    QUOTE,
)
from core.data.importing.wanted import Rules
from core.errors import DataError
from tests.core.data.importing.conftest import Imported

GOOD = [f"ann,b{n},4,{1_300_000_000 + n}" for n in range(20)]
MESSY = [
    "user,item,rating,timestamp",  # line 1
    *GOOD[:10],  # 2-11
    ",b1,4,1300000000",  # 12 no user
    "ann,NULL,4,1300000000",  # 13 no item
    "ann,b1,4",  # 14 too few
    "ann,b1,4,1300000000,extra",  # 15 too many
    "ann,b30,four,1300000000",  # 16 rating
    "ann,b31,4,yesterday",  # 17 time
    'ann,"b32,4,1300000000',  # 18 a quote never closed: its own line only
    "",  # 19 nothing at all: no row
    '=cmd|"/C calc",b1,4',  # 20 too few, and a formula
    "ann,b33,,1300000050",  # 21 no rating, which is none of a fault unless --min-rating asks for one
    "ann,b34,4,",  # 22 no time: kept where it stands
    *GOOD[10:],  # 23-32
    "ann,b0,4,1300000000",  # 33 word for word line 2
    "ann,b0,5,1300000100",  # 34 the same item again
    'ann,"b\nc",4,1300000000',  # 35-36 an id with a line end
    f"ann,{'x' * 1001},4,1300000000",  # 37 an id too long
    "bob,b1,4,1300000000,",  # 38 an empty field too many is no fault
]
FAULTS = {
    NO_USER: (12,),
    NO_ITEM: (13,),
    FIELDS: (14, 15, 20),
    BAD_RATING: (16,),
    BAD_TIME: (17,),
    QUOTE: (18,),
    BAD_ID: (35, 37),
}


@pytest.fixture
def messy(importing: Callable[..., Imported]) -> Imported:
    return importing("\n".join(MESSY))


def test_every_fault_is_counted_with_its_lines(messy: Imported) -> None:
    assert {bad.reason: bad.first_lines for bad in messy.report.rejected} == FAULTS
    assert {bad.reason: bad.rows for bad in messy.report.rejected} == {k: len(v) for k, v in FAULTS.items()}


def test_every_row_is_accounted_for(messy: Imported) -> None:
    [taken] = messy.report.taken
    dropped = sum(effect.dropped for effect in messy.report.effects)
    assert taken.rows == 20 + 10 + 2 + 2 + 1  # good, bad, without a value, repeats, bob
    assert taken.rejected == 10
    assert taken.rows == taken.rejected + dropped + messy.report.interactions


def test_what_is_no_fault_is_kept_and_said(messy: Imported) -> None:
    assert messy.ids["bob"] == ["b1"]
    history = messy.ids["ann"]
    assert history.index("b34") == len(history) - 1  # behind line 21, the latest one
    assert [effect.first_lines for effect in messy.report.effects] == [(33, 34)]
    notes = " ".join(messy.report.notes)
    assert "1 row without a time" in notes and "1 row that repeat another word for word" in notes


def test_the_side_file_holds_line_reason_and_raw_text(messy: Imported) -> None:
    with (messy.folder / "mine-rejected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["line"]) for row in rows] == sorted(line for lines in FAULTS.values() for line in lines)
    by_line = {int(row["line"]): row for row in rows}
    assert by_line[14] == {
        "file": "events.csv",
        "line": "14",
        "reason": "wrong number of fields: 3, not 4",
        "raw": "ann,b1,4",
    }
    assert by_line[20]["raw"] == "'" + MESSY[19]  # a formula is disarmed
    assert by_line[35]["raw"] == MESSY[34]
    assert by_line[16]["reason"] == f'{BAD_RATING}: "four"'


def test_no_side_file_without_a_fault(importing: Callable[..., Imported]) -> None:
    done = importing("\n".join(["user,item,rating,time", *GOOD]))
    assert done.report.rejected_file is None and not list(done.folder.glob("*rejected*"))


def test_strict_stops_at_the_first_line_and_keeps_nothing(
    importing: Callable[..., Imported], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"events\.csv line 12: no user id\. --strict stops here"):
        importing("\n".join(MESSY), rules=Rules(strict=True))
    assert not (tmp_path / "files" / "imported").exists()
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["events.csv"]


def test_a_rating_is_missed_only_where_one_is_asked_for(importing: Callable[..., Imported]) -> None:
    done = importing("\n".join(MESSY), rules=Rules(min_rating=3))
    assert {bad.reason: bad.first_lines for bad in done.report.rejected} == {**FAULTS, NO_RATING: (21,)}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_no_result_depends_on_the_batches(
    size: int, importing: Callable[..., Imported], messy: Imported
) -> None:
    other = importing("\n".join(MESSY), size=size)
    assert other.report == messy.report
    assert other.dataset.sha256 == messy.dataset.sha256


def test_damaged_bytes_cost_their_own_lines(importing: Callable[..., Imported]) -> None:
    lines = ["user,item,title", *(f"ann,{n},Café {n}" for n in range(8))]
    content = "\n".join(lines).encode() + b"\nann,8,Caf\xe9\nann,9,plain"
    done = importing(content)
    assert [(bad.reason, bad.first_lines) for bad in done.report.rejected] == [(ENCODING, (10,))]
    assert "Caf\\udce9" in (done.folder / "mine-rejected.csv").read_text()


def test_a_line_that_is_no_object_and_half_a_letter_cost_their_own_lines(
    importing: Callable[..., Imported],
) -> None:
    lines = [f'{{"user": 1, "item": {n}}}' for n in range(6)]
    lines += ["{broken", "[1, 2]", '{"user": "\\ud83d", "item": 9}', '{"item": 1}']
    done = importing("\n".join(lines), file="events.jsonl")
    assert {bad.reason: bad.first_lines for bad in done.report.rejected} == {
        NO_OBJECT: (7, 8),
        ENCODING: (9,),
        NO_USER: (10,),
    }


def test_faults_of_the_items_file_are_told_apart(importing: Callable[..., Imported]) -> None:
    items = "item,title\nb0,Zero\n,None\nb0,Again\nb1\nb99,Unseen\nb2,Two\nb3,\nb4,Four\n"
    done = importing("\n".join(["user,item,rating,time", *GOOD]), items)
    assert {(bad.file, bad.reason): bad.first_lines for bad in done.report.rejected} == {
        ("items.csv", NO_ITEM): (3,),
        ("items.csv", ITEM_AGAIN): (4,),
        ("items.csv", FIELDS): (5,),
    }
    notes = " ".join(done.report.notes)
    assert "17 of 20 items without a title" in notes  # b0, b2 and b4 have one
    assert "16 items of the interactions not in items.csv" in notes
    assert "1 item of items.csv without interactions: left out" in notes
    assert done.titles["ann"][:3] == ["Zero", "b1", "Two"]


def test_items_nobody_has_had_can_be_kept(importing: Callable[..., Imported]) -> None:
    items = "item,title\nb0,Zero\nb99,Unseen\n"
    done = importing("\n".join(["user,item,rating,time", *GOOD]), items, rules=Rules(keep_unseen=True))
    assert done.dataset.catalog[done.dataset.catalog.index_of("Unseen")].item_id == "b99"
    assert done.dataset.num_items == 21


def test_a_file_of_which_most_cannot_be_used_was_misunderstood(importing: Callable[..., Imported]) -> None:
    content = "user,item,time\n" + "".join(f"ann,{n},{n % 28 + 1}. Mai 2020\n" for n in range(9))
    with pytest.raises(DataError, match=r"9 of 9 rows of events.csv cannot be used .*--time-format"):
        importing(content)


def test_too_little_of_everybody_is_refused(importing: Callable[..., Imported]) -> None:
    with pytest.raises(DataError, match=r"has 5 interactions or more .*\(the longest history has 3\)"):
        importing("user,item\n" + "".join(f"ann,{n}\n" for n in range(3)))


def test_a_few_items_are_pointed_out(importing: Callable[..., Imported]) -> None:
    done = importing("user,item\n" + "".join(f"ann,{n}\n" for n in range(6)))
    assert any("all but 0 of the 6 items" in note for note in done.report.notes)


def test_stray_quotes_are_read_as_they_stand_and_true_ones_as_quotes(
    importing: Callable[..., Imported],
) -> None:
    content = (
        "user\titem\ttitle\n"
        'ann\t1\t"Great" Cats\n'
        'ann\t2\t5" disk\n'
        'ann\t3\t"two\nlines"\n'
        'ann\t4\t"open\n'
        "ann\t5\tplain\n"
        'ann\t6\t"say ""hi"""\n'
    )
    done = importing(content)
    assert done.titles["ann"] == ['"Great" Cats', '5" disk', "two lines", '"open', "plain", 'say "hi"']
    assert done.report.rejected == ()


def test_a_quote_at_the_end_of_a_file_swallows_nothing(importing: Callable[..., Imported]) -> None:
    rows = [f"ann,{n},t{n}" for n in range(2_500)]
    rows[700] = 'ann,700,"never closed'
    done = importing("\n".join(["user,item,title", *rows]))
    assert done.report.interactions == 2_499
    assert [(bad.reason, bad.first_lines) for bad in done.report.rejected] == [(QUOTE, (702,))]


def test_decimal_commas_and_booleans_are_ratings(importing: Callable[..., Imported]) -> None:
    ratings = ["4,5", "1,0", "5", "true", "false", "3.5", "4,5"]
    content = "user;item;rating\n" + "".join(f"ann;{n};{r}\n" for n, r in enumerate(ratings))
    kept = importing(content + "".join(f"bob;{n};5\n" for n in range(5)), rules=Rules(min_rating=3.5))
    assert kept.ids["ann"] == ["0", "2", "5", "6"]
