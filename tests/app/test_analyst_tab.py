"""The tab "Analyst": what is refused, what is told, and that long work stands back for visitors."""

import gzip
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.web import analyst
from app.web import service as serving
from app.web.analysed import Preview, preview, progress, report, sentence
from app.web.service import Service
from app.web.turnstile import Busy
from core.batch.run import Job, finish, open_parts, score_people
from core.domain import MOVIES
from core.errors import DataError


def test_an_upload_is_read_and_strange_ones_are_refused_in_a_sentence(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "h.csv"
    file.write_text('user,history\nann,"Fargo (1996)|<b>Farrgo"\n', encoding="utf-8")
    people, told = analyst.read_upload(service, file)
    assert (
        len(people) == 1
        and "&lt;b&gt;Farrgo" in report(told, MOVIES)
        and "Fargo (1996)" in report(told, MOVIES)
    )
    (tmp_path / "h.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(file.read_bytes()))
    many = pa.table({"user": [f"u{n}" for n in range(2_001)], "history": ["Fargo (1996)"] * 2_001})
    pq.write_table(many, tmp_path / "many.parquet")
    for name, why in (("h.xlsx", "no .csv"), ("packed.csv", "packed"), ("many.parquet", "more than 2,000")):
        with pytest.raises(DataError, match=why):
            analyst.read_upload(service, tmp_path / name)


def test_a_parquet_file_that_unpacks_to_too_much_is_not_read(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"user": ["a"], "history": ["Fargo"]}), tmp_path / "x.parquet")
    monkeypatch.setattr(analyst, "MOST_UNPACKED", 10)
    with pytest.raises(DataError, match="unpacks to more"):
        analyst.read_upload(service, tmp_path / "x.parquet")


def test_the_preview_tells_what_the_table_holds(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "h.csv"
    file.write_text("user,history\n<i>ann,50 100 200\nnobody,🎬\n", encoding="utf-8")
    people, _ = analyst.read_upload(service, file)
    job, parts = Job(("ilora", "lora"), k=5, shard=8), tmp_path / "parts"
    shards = score_people(service.recommender, people, job, parts, open_parts(people, job, "", parts))
    assert list(service.at_leisure(shards)) == [2]
    finish(job, parts, tmp_path / "out.parquet")
    shown = analyst.look(tmp_path / "out.parquet", job.adapters, job.k)
    assert (shown.people, shown.personal, sum(shown.leaders)) == (2, 1, 1)
    row = pq.read_table(tmp_path / "out.parquet").to_pylist()[0]
    assert shown.overlap == pytest.approx(row["overlap_ilora_lora"])
    html = preview(service.domain, shown, job.adapters)
    assert "&lt;i&gt;ann" in html and "<i>ann" not in html
    assert f"share {5 * shown.overlap:.1f} of 5 titles" in html


def test_nobody_known_is_said() -> None:
    assert "Nothing is known of anybody" in sentence(Preview((), 3, 0, (), None, 10), MOVIES)
    assert "3 of 9 people" in progress(3, 9, 0, "") and "left" not in progress(9, 9, 50, "Done.")
    assert "About 20 s left" in progress(3, 9, 10, "")


def test_long_work_stands_back_while_somebody_asks(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.2)
    release, inside = threading.Event(), threading.Event()

    def occupy() -> None:
        with service.turnstile.pass_through():
            inside.set()
            release.wait(20)

    visitor = threading.Thread(target=occupy)
    visitor.start()
    inside.wait(20)
    with pytest.raises(Busy):
        next(service.at_leisure(iter([1])))
    release.set()
    visitor.join()
    assert list(service.at_leisure(iter([1, 2]))) == [1, 2]
