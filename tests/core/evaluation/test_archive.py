"""An archive gives the same tables and comparisons as the files it was made from, and names nobody."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import RunError
from core.evaluation.archive import archive, read_archive
from core.evaluation.questions import Questions
from core.evaluation.records import read_results
from core.evaluation.run_comparison import compare_runs
from core.evaluation.summary import Row, group_draws, summarise
from core.evaluation.table import read_archives, table_row
from tests.core.evaluation.toy import ITEMS, USERS, other_data, results_of, toy_questions

pytestmark = pytest.mark.usefixtures("own_candidates")
POPULARITY = {f"i{item}": item + 1 for item in range(ITEMS)}
Make = Callable[..., Row]


@pytest.fixture
def asked() -> Questions:
    return toy_questions(draws=2)


@pytest.fixture
def row_of(asked: Questions, tmp_path: Path) -> Make:
    def make(label: str, every: int, seed: int = 1, users: int | None = None) -> Row:
        results = results_of(asked, tmp_path / "own", label, lambda i: i % every == 0, seed, users=users)
        return summarise(results, POPULARITY)

    return make


def test_tables_and_comparisons_are_those_of_the_files(
    asked: Questions, row_of: Make, tmp_path: Path
) -> None:
    rows = [row_of("LoRA", 3), row_of("iLoRA", 2), row_of("Static gate", 4)]
    archive(tmp_path / "ranks" / "toy-loo.parquet", asked.users, rows)
    kept = sorted(read_archives(tmp_path / "ranks"), key=lambda row: row.header.method)
    wanted = sorted(rows, key=lambda row: row.header.method)
    assert [asdict(table_row(row)) for row in kept] == [asdict(table_row(row)) for row in wanted]
    assert compare_runs(kept, "uniform").main == compare_runs(wanted, "uniform").main


def test_no_user_no_item_and_no_list_is_in_it(asked: Questions, row_of: Make, tmp_path: Path) -> None:
    path = tmp_path / "toy-loo.parquet"
    archive(path, asked.users, [row_of("iLoRA", 2)])
    content = path.read_bytes()
    assert read_results(next((tmp_path / "own").rglob("*.parquet"))).words("user")[7] == "u7"
    for result in read_archive(path):
        assert result.users == [f"case {number}" for number in range(USERS)]
        assert set(result.words("target")) == {""} and not any(result.words("top10"))
    assert not any(f"{kind}{number}".encode() in content for kind in "ui" for number in (17, 42))


def test_new_rows_join_those_of_other_days_and_replace_their_own(
    asked: Questions, row_of: Make, tmp_path: Path
) -> None:
    path = tmp_path / "toy-loo.parquet"
    archive(path, asked.users, [row_of("LoRA", 3), row_of("iLoRA", 5)])
    before = path.read_bytes()
    archive(path, asked.users, [row_of("iLoRA", 5)])
    assert path.read_bytes() == before  # the same rows give the same bytes
    archive(path, asked.users, [row_of("Random gate", 4)])
    rows = [summarise(group) for group in group_draws(read_archive(path))]
    assert {row.header.method: row.sampled.hr1 for row in rows} == {
        "LoRA": pytest.approx(1 / 3),
        "iLoRA": pytest.approx(1 / 5),
        "Random gate": pytest.approx(38 / 150),
    }
    trained_again = row_of("iLoRA", 2, seed=2)  # elsewhere, under another name
    headers = [replace(f, header=replace(f.header, seed=1, run="elsewhere")) for f in trained_again.files]
    archive(path, asked.users, [replace(trained_again, files=tuple(headers))])
    again = [r for r in read_archive(path) if r.header.method == "iLoRA"]
    assert len(again) == 2 and {r.header.run for r in again} == {"elsewhere"}, "one per draw"
    assert all(np.mean(r.numbers("rank") == 1) == 0.5 for r in again)


def test_a_sample_of_users_keeps_its_case_numbers(asked: Questions, row_of: Make, tmp_path: Path) -> None:
    path = tmp_path / "toy-loo.parquet"
    archive(path, asked.users, [row_of("iLoRA", 2, users=20)])
    assert read_archive(path)[0].users == [f"case {number}" for number in range(20)]


def test_results_of_other_data_are_not_mixed_in(asked: Questions, row_of: Make, tmp_path: Path) -> None:
    path = tmp_path / "toy-loo.parquet"
    archive(path, asked.users, [row_of("iLoRA", 2)])
    other = toy_questions(draws=2, dataset=other_data())
    row = summarise(results_of(other, tmp_path / "other", "LoRA", lambda i: True))
    with pytest.raises(RunError, match="other data or candidates"):
        archive(path, other.users, [row])


def test_seeds_that_were_not_trained_equally_long_are_not_averaged(
    asked: Questions, row_of: Make, tmp_path: Path
) -> None:
    path = tmp_path / "toy-loo.parquet"
    first, second = row_of("iLoRA", 2, seed=1), row_of("iLoRA", 3, seed=2)
    archive(path, asked.users, [first, second, row_of("LoRA", 3)])
    before = path.read_bytes()

    def longer(row: Row) -> Row:
        return replace(
            row, files=tuple(replace(f, header=replace(f.header, train_samples=640)) for f in row.files)
        )

    with pytest.raises(
        RunError, match=r"holds iLoRA 2, iLoRA of 320 training rows, and what is new had 640: measure"
    ):
        archive(path, asked.users, [longer(first)])
    assert path.read_bytes() == before
    archive(path, asked.users, [longer(first), longer(second)])
    assert {r.header.run: r.header.train_samples for r in read_archive(path)} == {
        "iLoRA 1": 640,
        "iLoRA 2": 640,
        "LoRA 1": 320,
    }


def test_a_file_that_is_no_archive_is_refused_in_a_sentence(
    asked: Questions, row_of: Make, tmp_path: Path
) -> None:
    row_of("iLoRA", 2)
    with pytest.raises(RunError, match="is no archive of results"):
        read_archive(next((tmp_path / "own").rglob("*.parquet")))
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(RunError, match="is no archive of results"):
        read_archive(tmp_path / "x.parquet")
