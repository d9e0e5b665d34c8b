"""A batch answers what the page answers, person by person; a killed one goes on; tables are what they say."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.web.service import Service
from core.batch.people import People
from core.batch.run import Job, check_job, finish, open_parts, score_people
from core.batch.scoring import Listed, overlaps, score_shard
from core.batch.table import POPULAR
from core.errors import DataError
from core.recommendation import AdapterName
from tests.rounding import either, in_bf16

ADAPTERS: tuple[AdapterName, ...] = ("ilora", "lora", "base")


@pytest.fixture(scope="module")
def people(service: Service) -> People:
    histories = [service.cases[case].history for case in (0, 5, 9, 11)]
    histories.insert(2, ())
    return People.of([f"u{row}" for row in range(5)], histories, [0, 0, 4, 0, 1])


def test_a_shard_gives_everybody_the_list_the_page_gives_alone(service: Service, people: People) -> None:
    histories = [people.history(row) for row in range(4)]
    coarse = in_bf16(service.recommender)
    for history, scored in zip(
        histories, score_shard(service.recommender, histories, ADAPTERS, 7), strict=True
    ):
        for adapter in ADAPTERS:
            # base: sums over titles of many words, 0.24 apart on one processor
            rounding = either(coarse, fp32=2e-3, bf16=0.5 if adapter == "base" else 0.1)
            alone = service.recommender.recommend(history, k=7, adapter=adapter)
            assert scored.lists[adapter].items == tuple(item.index for item in alone.items)
            assert scored.lists[adapter].probabilities == pytest.approx(
                [item.probability for item in alone.items], rel=rounding
            )
            if adapter == "ilora":
                assert scored.gate == pytest.approx(alone.gate, abs=1e-5)


def test_overlap_is_the_shared_part_and_the_unknown_have_none(service: Service, people: People) -> None:
    a, b = Listed((1, 2, 3, 4), (0.1,) * 4), Listed((4, 9, 2, 8), (0.1,) * 4)
    assert overlaps({"ilora": a, "lora": b}, 4) == {("ilora", "lora"): 0.5}
    [nobody] = score_shard(service.recommender, [()], ("ilora", "lora"), 4)
    assert nobody.overlaps == {} and nobody.gate == ()
    assert nobody.lists["ilora"] == nobody.lists["lora"]


def test_a_killed_batch_goes_on_and_ends_as_an_unbroken_one(
    service: Service, people: People, tmp_path: Path
) -> None:
    job = Job(("ilora", "lora"), k=3, shard=1, part=2)
    parts = tmp_path / "parts"
    asking = score_people(service.recommender, people, job, parts, open_parts(people, job, "b", parts))
    assert [next(asking) for _ in range(3)] == [1, 2, 3]
    asking.close()  # the third person's part was not whole yet
    done = open_parts(people, job, "b", parts)
    assert done == 2
    assert list(score_people(service.recommender, people, job, parts, done)) == [3, 4, 5]
    assert open_parts(people, job, "b", parts) == 5  # the last part holds one person
    finish(job, parts, tmp_path / "out.parquet")
    assert not parts.exists()
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["user"] for row in table] == list(people.users)
    assert [row["note"] for row in table] == ["", "", POPULAR, "", ""]
    assert [row["unknown"] for row in table] == [0, 0, 4, 0, 1]
    assert table[2]["overlap_ilora_lora"] is None and table[2]["gate"] == []
    assert sum(table[0]["gate"]) == pytest.approx(1, abs=1e-5)


def test_parts_of_another_question_are_thrown_away(service: Service, people: People, tmp_path: Path) -> None:
    job, parts = Job(("lora",), k=2, shard=8, part=2), tmp_path / "parts"
    next(score_people(service.recommender, people, job, parts, open_parts(people, job, "b", parts)))
    assert open_parts(people, job, "b", parts) == 2
    others = People.of(people.users, [people.history(row)[1:] for row in range(5)], [0] * 5)
    assert open_parts(others, job, "b", parts) == 0
    next(score_people(service.recommender, others, job, parts, 0))
    assert open_parts(others, job, "b", parts) == 2
    assert open_parts(others, job, "another bundle", parts) == 0
    assert open_parts(people, Job(("lora",), k=3, shard=8, part=2), "another bundle", parts) == 0


def test_what_cannot_be_done_is_refused_before_anything_is_done(service: Service) -> None:
    with pytest.raises(DataError, match=r"\.parquet or \.csv"):
        check_job(service.recommender, Job(("lora",)), Path("out.xlsx"))
    with pytest.raises(DataError, match="there is: base"):
        check_job(service.recommender, Job(("nobody",)), Path("out.csv"))  # type: ignore[arg-type]


def test_the_command_tells_what_it_read_and_writes_a_table_for_spreadsheets(tmp_path: Path) -> None:
    histories = tmp_path / "h.csv"
    histories.write_text('user,history\n=ann(),"Fargo (1996)|Farrgo"\nbob,50|100\n', encoding="utf-8")
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(cli, ["batch", str(histories), "--out", str(out), "--k", "2"])
    assert done.exit_code == 0, done.output
    assert "2 people" in done.output and "Farrgo" in done.output and "Fargo (1996)" in done.output
    with out.open(encoding="utf-8", newline="") as text:
        first, second = csv.DictReader(text)
    assert first["user"] == "'=ann()" and second["known"] == "2"
    assert len(second["ilora_titles"].split(" | ")) == 2 and second["overlap_ilora_lora"] in (
        "0.0",
        "0.5",
        "1.0",
    )
