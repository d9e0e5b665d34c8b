"""Rows of the tables against numbers that are known by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from core.errors import RunError
from core.evaluation.evaluating import evaluate
from core.evaluation.intervals import wilson
from core.evaluation.questions import popularity_ranks
from core.evaluation.summary import group_draws, hits, ndcg_gains, summarise
from core.evaluation.table import TableRow, read_folder, read_table, table_row, write_table
from tests.core.evaluation.toy import ITEMS, USERS, Naming, Scripted, results_of, toy_questions

pytestmark = pytest.mark.usefixtures("own_candidates")


def test_a_method_that_hits_a_third_has_that_rate_in_both_tables(tmp_path: Path) -> None:
    row = summarise(results_of(toy_questions(), tmp_path, "LoRA", lambda i: i % 3 == 0))
    assert row.n == USERS and row.sampled.hr1 == pytest.approx(1 / 3)
    assert (row.sampled.low, row.sampled.high) == wilson(50, USERS)
    assert row.sampled.valid_ratio == 1 and row.sampled.hr1_valid_only == row.sampled.hr1
    assert row.full is not None
    for value in (row.full.hr5, row.full.hr10, row.full.ndcg10):
        assert value == pytest.approx(1 / 3)
    assert row.full.ndcg10_low < 1 / 3 < row.full.ndcg10_high


def test_an_invalid_answer_is_a_miss_and_is_left_out_of_valid_only(tmp_path: Path) -> None:
    asked = toy_questions()
    results = evaluate(asked, Naming(asked), tmp_path)
    row = summarise(results)
    found = int((results[0].numbers("rank") == 1).sum())
    assert row.sampled.hr1 == pytest.approx(found / USERS)
    assert row.sampled.valid_ratio == 0.5
    assert row.sampled.hr1_valid_only == pytest.approx(found / (USERS / 2))
    assert row.full is None


def test_draws_are_averaged_per_user_and_n_stays_the_users(tmp_path: Path) -> None:
    asked = toy_questions(draws=3)
    [draws] = group_draws(evaluate(asked, Scripted(asked), tmp_path))
    row = summarise(draws)
    ranks = np.stack([draw.numbers("rank") for draw in draws], axis=1)
    assert row.n == USERS and len(row.files) == 3
    assert row.sampled.hr1 == pytest.approx((ranks == 1).mean(1).mean())
    assert hits(draws).shape == (USERS, 3)


def test_coverage_and_popularity_are_those_of_the_lists(tmp_path: Path) -> None:
    asked = toy_questions()
    ranks = popularity_ranks(asked)
    popularity = {f"i{item}": int(ranks[item]) for item in range(ITEMS)}
    everybody_the_same = np.tile(np.arange(ITEMS, dtype=np.float32), (USERS, 1))
    [result] = evaluate(asked, Scripted(asked, scores=everybody_the_same), tmp_path)
    row = summarise([result], popularity)
    shown = [item for items in result.words("top10") for item in items]
    assert row.full is not None
    assert row.full.coverage == len(set(shown)) / ITEMS < 0.6
    assert row.full.popularity_rank == pytest.approx(np.mean([popularity[item] for item in shown]))


def test_popularity_rank_1_is_what_most_users_had() -> None:
    asked = toy_questions()
    counts = np.bincount([item for sequence in asked.split.train for item in sequence], minlength=ITEMS)
    ranks = popularity_ranks(asked)
    assert sorted(ranks.tolist()) == list(range(1, ITEMS + 1))
    assert counts[ranks.argmin()] == counts.max() and counts[ranks.argmax()] == counts.min()


def test_gains_are_those_of_ndcg_with_one_relevant_item() -> None:
    assert ndcg_gains(np.array([1.0, 3.0, 10.0, 11.0])).tolist() == [1.0, 0.5, 1 / math.log2(11), 0.0]


def test_draws_of_different_users_are_no_row(tmp_path: Path) -> None:
    asked = toy_questions(draws=2)
    first, second = evaluate(asked, Scripted(asked), tmp_path)
    with pytest.raises(RunError, match="not of the same users"):
        group_draws([first, second.first({"u1", "u2"})])


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    asked = toy_questions(kinds=("uniform", "popularity"))
    results_of(asked, tmp_path / "out", "LoRA", lambda i: i % 3 == 0)
    results_of(asked, tmp_path / "out", "Popularity", lambda i: i % 10 == 0, seed=None)
    rows = [table_row(row) for row in read_folder(tmp_path / "out")]
    assert [(row.method, row.candidates) for row in rows] == [
        ("LoRA", "popularity"),
        ("LoRA", "uniform"),
        ("Popularity", "popularity"),
        ("Popularity", "uniform"),
    ]
    assert rows[1] == TableRow(
        dataset="toy",
        split="loo",
        candidates="uniform",
        method="LoRA",
        seed=1,
        n=USERS,
        hr1=pytest.approx(1 / 3),
        hr1_low=pytest.approx(wilson(50, USERS)[0]),
        hr1_high=pytest.approx(wilson(50, USERS)[1]),
        hr1_valid_only=pytest.approx(1 / 3),
        valid_ratio=1.0,
        hr10_full=pytest.approx(1 / 3),
        ndcg10_full=pytest.approx(1 / 3),
        train_samples=320,
        train_minutes=1.5,
        hr5_full=pytest.approx(1 / 3),
        mrr_full=rows[1].mrr_full,
        coverage_full=rows[1].coverage_full,
        popularity_rank_full=None,
        note="scripted",
    )
    assert rows[1].mrr_full is not None and 1 / 3 < rows[1].mrr_full < 0.4  # misses are last, not nowhere
    assert rows[1].coverage_full is not None and 0 < rows[1].coverage_full <= 1
    path = tmp_path / "table.json"
    write_table(rows, path)
    assert read_table(path) == rows


def test_what_is_no_table_and_what_holds_no_results_is_told(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text('[{"method": "LoRA"}]')
    with pytest.raises(RunError, match="is no table"):
        read_table(path)
    with pytest.raises(RunError, match="holds no results on test users"):
        read_folder(tmp_path)


def test_a_column_of_null_is_nan_and_a_subset_keeps_the_files_hash(tmp_path: Path) -> None:
    asked = toy_questions()
    [result] = evaluate(asked, Naming(asked), tmp_path)
    assert np.isnan(result.numbers("full_rank")).all()
    assert result.first({"u3"}).sha256 == result.sha256 and result.first({"u3"}).users == ["u3"]
