"""Several data sets judged at once: Holm over them, and the protocol's ruling from the corrected numbers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.report.evidence_page import evidence_page
from core.evaluation.significance import holm
from core.evaluation.summary import Row, summarise
from core.studies.above import above, write_above
from core.studies.grid import Budget
from core.studies.judging import judge, write_verdicts
from tests.core.evaluation.conftest import own_candidates
from tests.core.evaluation.toy import results_of, toy_dataset, toy_questions

__all__ = ["own_candidates"]
pytestmark = pytest.mark.usefixtures("own_candidates")


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[..., list[Row]]:
    """Rows of a data set by name, of methods that hit every m-th user."""

    def make(dataset: str, **every: int) -> list[Row]:
        asked = toy_questions(dataset=replace(toy_dataset(), name=dataset))
        named = {label.replace("_", " "): m for label, m in every.items()}
        return [
            summarise(results_of(asked, tmp_path / dataset, label, lambda i, m=m: i % m == 0))
            for label, m in named.items()
        ]

    return make


def test_p_is_corrected_over_the_data_sets_of_a_table(rows_of: Callable[..., list[Row]]) -> None:
    rows = (
        rows_of("books", LoRA=3, iLoRA=2)
        + rows_of("games", LoRA=2, iLoRA=2)
        + rows_of("art", LoRA=6, iLoRA=2)
    )
    judgement = judge(rows, "loo", "uniform")
    comparisons = [one.against["lora"] for one in judgement.datasets]
    assert [one.dataset for one in judgement.datasets] == ["books", "games", "art"]
    assert [c.p_holm for c in comparisons] == pytest.approx(holm([c.mcnemar.p for c in comparisons]))
    assert {c.datasets for c in comparisons} == {3}
    assert judgement.mean_relative == pytest.approx((0.5 + 0 + 2) / 3, rel=1e-6)


def test_a_data_set_without_both_methods_or_of_another_split_is_left_out(
    rows_of: Callable[..., list[Row]],
) -> None:
    rows = rows_of("books", LoRA=3, iLoRA=2) + rows_of("games", LoRA=2, Static_gate=2)
    assert [one.dataset for one in judge(rows, "loo", "uniform").datasets] == ["books"]
    assert judge(rows, "paper", "uniform").datasets == ()


def test_a_win_over_lora_alone_is_not_a_yes(rows_of: Callable[..., list[Row]], tmp_path: Path) -> None:
    rows = rows_of("books", LoRA=50, iLoRA=2, Static_gate=2, Random_gate=50, Shuffled_gate=50)
    rows += rows_of("games", LoRA=50, iLoRA=2, Static_gate=40, Random_gate=50, Shuffled_gate=50)
    judgement = judge(rows, "loo", "uniform")
    write_verdicts([judgement], tmp_path / "verdict.json")
    books, games = json.loads((tmp_path / "verdict.json").read_text())
    assert books["against"]["lora"]["winner"] == games["against"]["lora"]["winner"] == "iLoRA"
    assert (books["counts_as_better"], games["counts_as_better"]) == (False, True)
    assert books["against"]["static"]["difference"] == 0 and set(books["against"]) == {
        "lora",
        "static",
        "random",
        "shuffled",
    }
    page = evidence_page(rows, [judgement], [], [], "make evidence", Budget())
    assert "**iLoRA counts as better than LoRA on 1 of 2 data sets: games.**" in page
    assert "not shown to beat Static gate" in page


def test_where_nothing_is_better_the_page_says_so_first(rows_of: Callable[..., list[Row]]) -> None:
    rows = rows_of("books", LoRA=2, iLoRA=2)
    page = evidence_page(rows, [judge(rows, "loo", "uniform")], [], [], "make evidence", Budget())
    assert page.index("does not count as better than LoRA on the one data set") < page.index("## All rows")
    assert "no difference that 150 people can show" in page


def test_what_rows_say_of_themselves_stands_behind_their_verdict(rows_of: Callable[..., list[Row]]) -> None:
    rows = rows_of("books", LoRA=2, iLoRA=2)
    for note in ("", "of rank 8"):
        noted = [replace(row, header=replace(row.header, note=note)) for row in rows]
        judgement = judge(noted, "loo", "uniform")
        assert judgement.datasets[0].notes == ((note,) if note else ())
        page = evidence_page(noted, [judgement], [], [], "make evidence", Budget())
        assert page.count(f"({note}.)") == (1 if note else 0)


def test_an_advantage_of_one_seed_is_said_to_be_that(
    rows_of: Callable[..., list[Row]], tmp_path: Path
) -> None:
    rows = []
    for seed, every in enumerate((2, 50, 2), start=1):
        told = rows_of(f"books {seed}", LoRA=2, iLoRA=every)
        rows += [replace(row, header=replace(row.header, dataset="books", seed=seed)) for row in told]
    judgement = judge(rows, "loo", "uniform")
    (one,) = judgement.datasets
    assert one.against["lora"].winner == "LoRA"
    assert one.by_seed == {1: 0, 2: pytest.approx(-0.48), 3: 0}
    page = evidence_page(rows, [judgement], [], [], "make evidence", Budget())
    assert "LoRA is better. That is of these 3 training seeds" in page
    assert "| +0.0, −48.0, +0.0 |" in page
    write_verdicts([judgement], tmp_path / "verdict.json")
    (written,) = json.loads((tmp_path / "verdict.json").read_text())
    assert written["by_seed"] == {"1": 0, "2": pytest.approx(-0.48), "3": 0}
    assert written["beyond_seeds"]["high"] >= 0


def test_rows_with_a_language_model_are_held_against_those_without(
    rows_of: Callable[..., list[Row]], tmp_path: Path
) -> None:
    rows = [
        row
        for dataset in ("books", "games")
        for row in rows_of(dataset, SASRec=4, Stack=3, iLoRA=4, **{"iLoRA_+_Stack": 2})
    ]
    told = above(rows, "loo", "uniform")
    assert [(one.label, one.base, one.dataset) for one in told] == [
        (label, base, dataset)
        for label, base in (
            ("iLoRA", "SASRec"), ("Stack", "SASRec"), ("iLoRA + Stack", "SASRec"), ("iLoRA + Stack", "Stack")
        )
        for dataset in ("books", "games")
    ]  # fmt: skip
    alike, stacked = told[0], told[4]
    assert not alike.shown and alike.hits.difference.mean == 0
    assert stacked.shown and stacked.hits.difference.mean == pytest.approx(1 / 4, abs=0.01)
    assert stacked.full is not None and stacked.full.low > 0 and stacked.hits.datasets == 2
    write_above(told, tmp_path / "above.json")
    written = json.loads((tmp_path / "above.json").read_text())
    assert [one["shown"] for one in written] == [one.shown for one in told]
    page = evidence_page(rows, [], told, [], "make evidence", Budget())
    assert "## loo, with a language model and without" in page
    assert "| iLoRA + Stack | SASRec | books | 150 | 1 |" in page


def test_rows_of_other_seeds_are_no_partners(rows_of: Callable[..., list[Row]]) -> None:
    base, ours = rows_of("books", SASRec=4, iLoRA=2)
    other = replace(ours, header=replace(ours.header, seed=9))
    assert above([base, ours], "loo", "uniform") and not above([base, other], "loo", "uniform")
    assert not above([base, ours], "paper", "uniform")
