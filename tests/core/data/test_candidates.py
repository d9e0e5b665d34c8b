"""Candidate lists: honest negatives, fixed for ever, the same for everybody who evaluates."""

import dataclasses
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.catalog import Catalog, Item
from core.data.candidate_files import candidate_file, part_table
from core.data.candidates import CandidateTable, candidate_table, draw_candidates, training_counts
from core.data.dataset import Case, Dataset
from core.errors import DataError


def test_each_row_holds_its_target_once_and_twenty_different_items(movielens: Dataset) -> None:
    cases = movielens.split("loo").test
    table = draw_candidates(movielens, cases, seed=1)
    assert table.shape == (943, 20) and table.dtype == np.int64
    for row, case in zip(table, cases, strict=True):
        assert len(set(row.tolist())) == 20
        assert (row == case.target).sum() == 1


def test_no_negative_occurs_anywhere_in_the_users_whole_sequence(movielens: Dataset) -> None:
    for split in movielens.splits.values():
        for row, case in zip(draw_candidates(movielens, split.test, seed=1), split.test, strict=True):
            assert set(row.tolist()) & set(movielens.sequences[case.user]) == {case.target}


def test_same_seed_same_table_other_draw_other_table(movielens: Dataset) -> None:
    cases = movielens.split("paper").test
    first, again, other = (candidate_table(movielens, cases, seed=7, draw=d) for d in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    assert not np.array_equal(first.table, other.table)


def test_table_of_the_default_seed_is_pinned(movielens: Dataset) -> None:
    pinned = "bc914875e770c53932470d47f22e22b81dfa3967292fd0b06ac96d569879064a"
    assert candidate_table(movielens, movielens.split("loo").test).sha256 == pinned


def test_the_first_uniform_row_is_the_one_it_always_was(movielens: Dataset) -> None:
    [row] = draw_candidates(movielens, movielens.split("loo").test[:1])
    wanted = [321, 1111, 1171, 470, 732, 1614, 893, 535, 148, 1149, 1426, 1380, 4, 395, 860, 529, 1532, 720]
    assert row.tolist() == [*wanted, 1607, 830]


def test_table_by_popularity_is_pinned_and_hashes_apart(movielens: Dataset) -> None:
    drawn = part_table(movielens, "loo", "test", "popularity")
    assert drawn.kind == "popularity"
    assert drawn.sha256 == "971fdb9384e5810499c65184b022ccfcf62941bac2ad8f976b6ff23435aaa795"
    assert dataclasses.replace(drawn, kind="uniform").sha256 != drawn.sha256


def test_popular_negatives_are_unseen_different_and_more_popular(movielens: Dataset) -> None:
    split = movielens.split("loo")
    counts = training_counts(split, movielens.num_items)
    table = draw_candidates(movielens, split.test, seed=1, counts=counts)
    for row, case in zip(table, split.test, strict=True):
        assert len(set(row.tolist())) == 20
        assert set(row.tolist()) & set(movielens.sequences[case.user]) == {case.target}
    assert counts[table].mean() > 2 * counts[draw_candidates(movielens, split.test, seed=1)].mean()


def test_a_popular_row_does_not_depend_on_the_other_users(movielens: Dataset) -> None:
    split = movielens.split("loo")
    counts = training_counts(split, movielens.num_items)
    some = [700, 3, 42]
    whole = draw_candidates(movielens, split.test, seed=3, counts=counts)
    assert np.array_equal(
        draw_candidates(movielens, [split.test[i] for i in some], seed=3, counts=counts), whole[some]
    )


def _tiny(movielens: Dataset, items: int) -> Dataset:
    catalog = Catalog(Item(i, f"id{i}", f"title {i}") for i in range(items))
    return dataclasses.replace(movielens, catalog=catalog, users=("ann",), sequences=((0, 1, 2),), splits={})


def test_popular_negatives_are_drawn_in_proportion_to_count_plus_one(movielens: Dataset) -> None:
    tiny = _tiny(movielens, 7)
    counts = np.array([9, 9, 9, 0, 1, 3, 7])
    weights = {item: counts[item] + 1 for item in (3, 4, 5, 6)}
    # Chance of each ordered pair, counted out: first by weight, then by weight among what is left.
    chance = dict.fromkeys(weights, 0.0)
    for first, second in permutations(weights, 2):
        total = sum(weights.values())
        both = weights[first] / total * weights[second] / (total - weights[first])
        chance[first] += both
        chance[second] += both
    rows = [
        draw_candidates(tiny, [Case(0, (0, 1), 2)], negatives=2, draw=draw, counts=counts)[0]
        for draw in range(4000)
    ]
    drawn = np.bincount(np.concatenate(rows), minlength=7) / 4000
    assert drawn[2] == 1 and drawn[:2].tolist() == [0, 0]
    for item, wanted in chance.items():
        assert drawn[item] == pytest.approx(wanted, abs=4 * 0.5 / 4000**0.5)  # four standard errors at most


def test_a_users_row_does_not_depend_on_the_other_users(movielens: Dataset) -> None:
    cases = movielens.split("loo").test
    whole = draw_candidates(movielens, cases, seed=3)
    some = [700, 3, 42]
    assert np.array_equal(draw_candidates(movielens, [cases[i] for i in some], seed=3), whole[some])


def test_targets_and_negatives_are_drawn_evenly(movielens: Dataset) -> None:
    cases = movielens.split("loo").test
    tables = [draw_candidates(movielens, cases, seed=5, draw=d) for d in range(5)]
    targets = np.array([case.target for case in cases])
    places = np.bincount(np.concatenate([(t == targets[:, None]).argmax(1) for t in tables]), minlength=20)
    # 4,715 rows over 20 places: 236 expected, sd 15; and 89,585 negatives over 1,682 items: 53 expected.
    assert places.min() > 236 - 5 * 15 and places.max() < 236 + 5 * 15
    seen = np.bincount(np.concatenate([t.ravel() for t in tables]), minlength=movielens.num_items)
    assert seen.min() > 0


def test_a_candidate_file_is_written_once_and_read_again(movielens: Dataset, tmp_path: Path) -> None:
    tables = {}
    for kind in ("uniform", "popularity"):
        drawn, path = candidate_file(movielens, "paper", "test", kind, draw=3, root=tmp_path)  # type: ignore[arg-type]
        written = path.stat().st_mtime_ns
        again, same = candidate_file(movielens, "paper", "test", kind, draw=3, root=tmp_path)  # type: ignore[arg-type]
        assert same == path and path.stat().st_mtime_ns == written
        assert again.kind == kind and np.array_equal(again.table, drawn.table)
        tables[kind] = path
    assert len(list(tmp_path.rglob("*.*"))) == 2

    tables["popularity"].replace(tables["uniform"])
    with pytest.raises(DataError, match="other candidates than its name says"):
        candidate_file(movielens, "paper", "test", "uniform", draw=3, root=tmp_path)


def test_a_kind_nobody_knows_is_refused_by_name(movielens: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    drawn = candidate_table(movielens, movielens.split("paper").test[:3])
    dataclasses.replace(drawn, kind="hardest").save(path)  # type: ignore[arg-type]
    with pytest.raises(DataError, match='kind "hardest"; known are: uniform, popularity'):
        CandidateTable.load(path)


def test_saved_table_comes_back_and_a_changed_one_is_refused(movielens: Dataset, tmp_path: Path) -> None:
    drawn = candidate_table(movielens, movielens.split("paper").test, seed=7, draw=2)
    path = tmp_path / "candidates.parquet"
    assert drawn.save(path) == drawn.sha256
    loaded = CandidateTable.load(path)
    assert np.array_equal(loaded.table, drawn.table)
    assert (loaded.seed, loaded.draw, loaded.sha256) == (7, 2, drawn.sha256)

    stored = pq.read_table(path)
    rows = stored["candidates"].to_pylist()
    rows[0][0], rows[0][1] = rows[0][1], rows[0][0]
    tampered = stored.set_column(2, "candidates", [rows]).replace_schema_metadata(stored.schema.metadata)
    pq.write_table(tampered, path)
    with pytest.raises(DataError, match="sha256"):
        CandidateTable.load(path)


def test_a_file_that_is_no_table_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for content in (b"", b"not a table"):
        path = tmp_path / "broken.parquet"
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable candidate table"):
            CandidateTable.load(path)


def test_too_small_a_catalogue_is_refused_by_naming_the_user(movielens: Dataset) -> None:
    tiny = _tiny(movielens, 21)
    with pytest.raises(DataError, match="ann leaves only 18 unseen items"):
        draw_candidates(tiny, [Case(0, (0, 1), 2)])
    assert sorted(draw_candidates(tiny, [Case(0, (0, 1), 2)], negatives=18)[0]) == list(range(2, 21))
