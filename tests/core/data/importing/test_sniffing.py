"""Small files as they come from real places are taken for what they are, without a word said."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.importing.layout import Said
from core.data.importing.source import open_source
from core.errors import DataError
from tests.core.data.importing.conftest import Imported

T = 1_300_000_000
HISTORY = [("ann", f"i{n}", 5 - n % 3, T + 86_400 * n) for n in range(6)]
RECBOLE = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
AMAZON = "rating,ts,review/userId,product/productId"
IDS = {"ann": [f"i{n}" for n in range(6)]}


def _csv(header: str, divider: str = ",", row: str = "{0}{d}{1}{d}{2}{d}{3}") -> str:
    lines = [header] if header else []
    return "\n".join([*lines, *(row.format(*event, d=divider) for event in HISTORY)]) + "\n"


def _date(pattern: str) -> str:
    lines = (f"{u};{i};{datetime.fromtimestamp(t, UTC).strftime(pattern)}" for u, i, _, t in HISTORY)
    return "\n".join(["user;item;date", *lines])


@pytest.mark.parametrize(
    ("content", "words", "roles"),
    [
        (_csv("userId,movieId,rating,timestamp"), "commas", "user item rating time"),
        (_csv("reviewerID\tasin\toverall\tunixReviewTime", "\t"), "tabs", "user item rating time"),
        (_csv(RECBOLE, "\t"), "RecBole", "user item rating time"),
        (_csv("User;Product;Stars;Date", ";"), "semicolons", "user item rating time"),
        (_csv("uid|sku|score|ts", "|"), "bars", "user item rating time"),
        (_csv("", "::"), "double colons (::), UTF-8, no header line", "user item rating time"),
        (_csv("", "\t"), "tabs, UTF-8, no header line", "user item rating time"),
        (_csv("", " "), "blanks, UTF-8, no header line", "user item rating time"),
        (_csv("", ",", "{0}{d}{1}"), "commas, UTF-8, no header line", "user item"),
        (_csv("", ",", "{0}{d}{1}{d}{3}"), "commas, UTF-8, no header line", "user item time"),
        (_csv("", ",", "{0}{d}{1}{d}{3}{d}{2}"), "no header line", "user item time rating"),
        (_csv(AMAZON, ",", "{2}{d}{3}{d}{0}{d}{1}"), "header", "rating time user item"),
        (_csv("fk_customer_id,shop_product_code,r,t"), "header", "user item rating time"),
        ("\n\n" + _csv("user,item,rating,time"), "header", "user item rating time"),
    ],
)  # fmt: skip
def test_columns_are_found(content: str, words: str, roles: str, importing: Callable[..., Imported]) -> None:
    done = importing(content)
    [taken] = done.report.taken
    assert words in taken.format
    found = {role.split(" ")[0]: column for column, role in taken.columns}
    assert set(found) == set(roles.split())
    assert taken.unused == () and done.ids == IDS
    if "time" in found:
        assert (done.report.first_day, done.report.last_day) == ("2011-03-13", "2011-03-18")


def test_u_data_and_ratings_dat_are_read_without_a_header(importing: Callable[..., Imported]) -> None:
    rows = [(196, 242 + n, 1 + n % 5, 881_250_949 + n) for n in range(6)]
    for divider in ("\t", "::"):
        done = importing("\n".join(divider.join(map(str, row)) for row in rows))
        assert done.ids == {"196": [str(242 + n) for n in range(6)]}
        assert done.report.first_day == "1997-12-04"


def test_movies_dat_is_latin_1_with_titles_and_genres(importing: Callable[..., Imported]) -> None:
    ratings = "\n".join(f"1::{n}::5::{T + n}" for n in range(1, 7))
    movies = "\n".join(f"{n}::Misérables {n}, Les (199{n})::Drama|Children's" for n in range(1, 7))
    done = importing(ratings, movies.encode("latin-1"), file="ratings.dat", items_file="movies.dat")
    item = done.dataset.catalog[0]
    assert (item.title, item.year) == ("Les Misérables 1 (1991)", 1991)
    assert item.genres == ("Drama", "Children's")
    assert "Windows-1252" in done.report.taken[1].format


@pytest.mark.parametrize(
    ("encoding", "called"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with a byte order mark"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16 without a byte order mark"),
        ("utf-16-be", "UTF-16 without a byte order mark"),
        ("cp1252", "Windows-1252 (Latin-1)"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_gives_the_same_titles(
    encoding: str, called: str, packed: bool, importing: Callable[..., Imported]
) -> None:
    text = "user,item,title\n" + "".join(f"ann,{n},Füße “{n}”\n" for n in range(6))
    content = text.encode(encoding)
    done = importing(gzip.compress(content, mtime=0) if packed else content)
    assert done.titles == {"ann": [f"Füße “{n}”" for n in range(6)]}
    assert f", {called}, a header line" in done.report.taken[0].format


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("%Y-%m-%d", "ISO dates"),
        ("%Y-%m-%dT%H:%M:%SZ", "ISO dates"),
        ("%Y-%m-%d %H:%M", "ISO dates"),
        ("%d.%m.%Y", "dates like %d.%m.%Y"),
        ("%m/%d/%Y", "dates like %m/%d/%Y"),
        ("%d/%m/%Y %H:%M:%S", "dates like %d/%m/%Y %H:%M:%S"),
        ("%b %d, %Y", "dates like %b %d, %Y"),
        ("%m %d, %Y", "dates like %m %d, %Y"),
        ("%Y%m%d", "dates like %Y%m%d"),
    ],
)
def test_dates_are_read_as_they_are_spelled(
    pattern: str, said: str, importing: Callable[..., Imported]
) -> None:
    done = importing(_date(pattern))
    assert ("date", f"time ({said})") in done.report.taken[0].columns
    assert (done.report.first_day, done.report.last_day) == ("2011-03-13", "2011-03-18")
    assert done.ids == IDS


@pytest.mark.parametrize(
    ("factor", "unit"), [(1, "seconds"), (1_000, "milliseconds"), (10**6, "microseconds")]
)
def test_the_unit_of_unix_time_is_told_by_its_size(
    factor: int, unit: str, importing: Callable[..., Imported]
) -> None:
    done = importing("user,item,ts\n" + "".join(f"{u},{i},{t * factor}\n" for u, i, _, t in HISTORY))
    assert ("ts", f"time (Unix {unit})") in done.report.taken[0].columns
    assert done.report.first_day == "2011-03-13"


def test_a_date_that_could_be_read_two_ways_is_said(importing: Callable[..., Imported]) -> None:
    content = "user,item,date\n" + "".join(f"ann,{n},0{n + 1}/02/2020\n" for n in range(6))
    first = importing(content)
    assert first.report.first_day == "2020-01-02"
    assert "%d/%m/%Y" in first.report.taken[0].doubts[0]
    assert importing(content, said=Said(time_format="%d/%m/%Y")).report.first_day == "2020-02-01"


def test_a_date_that_does_not_exist_is_no_other_day(importing: Callable[..., Imported]) -> None:
    dates = ["28/02/2020", "30/02/2020", "01/03/2020", "02/03/2020", "13/03/2020", "14/03/2020"]
    done = importing("user,item,date\n" + "".join(f"ann,{n},{date}\n" for n, date in enumerate(dates)))
    [bad] = done.report.rejected
    assert (bad.reason, bad.first_lines) == ("a time that cannot be read", (3,))


@pytest.mark.parametrize("first", ["12,Time", "u,show"])
def test_words_that_could_head_a_column_are_data_below_numbers(
    first: str, importing: Callable[..., Imported]
) -> None:
    content = first.replace("u", "7") + "\n" + "".join(f"7,w{n}\n" for n in range(5))
    assert "no header line" in importing(content).report.taken[0].format


def test_json_lines_and_parquet_hold_the_same(importing: Callable[..., Imported], tmp_path: Path) -> None:
    lines = [
        {"user": u, "item": i, "rating": r, "timestamp": t, "genres": ["A", "B"]} for u, i, r, t in HISTORY
    ]
    by_json = importing("\n".join(map(json.dumps, lines)), file="events.jsonl")
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "events.parquet")
    by_parquet = importing((tmp_path / "events.parquet").read_bytes(), file="events.parquet")
    assert "JSON lines" in by_json.report.taken[0].format
    assert by_parquet.report.taken[0].format == "Parquet"
    assert by_json.dataset.sha256 == by_parquet.dataset.sha256
    assert by_json.dataset.catalog[0].genres == ("A", "B")


def test_parquet_with_timestamps_gaps_and_decimals(
    importing: Callable[..., Imported], tmp_path: Path
) -> None:
    times = [datetime.fromtimestamp(t, UTC) for *_, t in HISTORY]
    table = pa.table(
        {
            "user": pa.array([1.0] * 6),
            "item": pa.array(range(6)),
            "date": pa.array(times[::-1], pa.timestamp("us", "UTC")),
            "rating": pa.array([1, None, 3, 4, 5, 5]),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    done = importing((tmp_path / "x.parquet").read_bytes(), file="x.parquet")
    assert done.ids == {"1": ["5", "4", "3", "2", "1", "0"]}
    assert done.report.first_day == "2011-03-13"


def test_ids_that_pandas_wrote_as_decimals_lose_their_point(importing: Callable[..., Imported]) -> None:
    done = importing("user,item\n" + "".join(f"12.0,{n}.0\n" for n in range(6)), "item,title\n0,A\n1,B\n")
    assert done.ids == {"12": [str(n) for n in range(6)]}
    assert done.titles["12"][:2] == ["A", "B"]
    assert sum("decimals" in note for note in done.report.notes) == 2


def test_what_a_person_says_wins(importing: Callable[..., Imported]) -> None:
    content = "who?what?how much?user\n" + "".join(f"ann?{n}?{n % 5}?x{n}\n" for n in range(6))
    said = Said(delimiter="?", columns={"user": "who", "item": "2", "rating": "how much", "time": "none"})
    done = importing(content, said=said)
    assert done.ids == {"ann": [str(n) for n in range(6)]}
    assert done.report.taken[0].unused == ("user",)


def test_no_header_said_of_words_only(importing: Callable[..., Imported]) -> None:
    content = "user,item\n" + "".join(f"user,i{n}\n" for n in range(5))
    assert importing(content).ids == {"user": [f"i{n}" for n in range(5)]}
    assert importing(content, said=Said(header=False)).ids == {"user": ["item", *(f"i{n}" for n in range(5))]}


def test_times_under_a_strange_name_are_pointed_out(importing: Callable[..., Imported]) -> None:
    content = "user,item,Moment\n" + "".join(f"ann,{n},2020-01-0{n + 1}\n" for n in range(6))
    assert '--time-column "Moment"' in importing(content).report.taken[0].doubts[0]


@pytest.mark.parametrize(
    ("content", "said", "sentence"),
    [
        (b"", Said(), "is empty"),
        (b"\n\n \n", Said(), "holds no line of text"),
        (b"PK\x03\x04rest", Said(), "a ZIP archive or an Excel workbook"),
        (b"PAR1 and then nothing", Said(), "cannot be read as Parquet"),
        (gzip.compress(b"user,item\na,b\n" * 99, mtime=0)[:-9], Said(), "damaged or cut off"),
        (b"user,item\n", Said(), "a header and no row"),
        (b"a,b,c\nx,y,z\nv,w,q\n", Said(header=True), "no column looks like the user among a, b, c"),
        (b"user,item\na,b\n", Said(columns={"time": "when"}), 'no column "when"; it has user, item'),
        (b"user,item\na,b\n", Said(encoding="klingon"), 'no encoding "klingon"'),
        ("user,item\nä,b\n".encode("latin-1"), Said(encoding="ascii"), "is not in ascii throughout"),
        (b'[{"user": 1, "item": 2}]', Said(), "one JSON list"),
        (b"user,item,time\na,b,1\n", Said(time_format="soon"), '--time-format "soon"'),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_one_sentence(
    content: bytes, said: Said, sentence: str, importing: Callable[..., Imported]
) -> None:
    with pytest.raises(DataError) as failed:
        importing(content, said=said)
    assert sentence in str(failed.value) and "\n" not in str(failed.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, sentence in ((tmp_path / "none.csv", "is not there"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=sentence):
            open_source(path, Said())
