"""What docs/evidence says is what its ranks give, and its ranks name nobody."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.cli.evidence import ABOVE, COMMAND, HTML, PAGE, RANKS, REMARKS, SPLITS, STUDIES, TABLE, VERDICTS
from app.report.evidence_page import evidence_html, evidence_page
from core.data.candidates import KINDS
from core.evaluation.table import read_archives, table_row
from core.studies.above import above, write_above
from core.studies.finding import read_findings
from core.studies.grid import Budget
from core.studies.judging import judge, write_verdicts

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"


def test_table_page_and_verdicts_are_those_of_the_ranks(tmp_path: Path) -> None:
    rows = read_archives(EVIDENCE / RANKS)
    assert json.loads((EVIDENCE / TABLE).read_text()) == [asdict(table_row(row)) for row in rows]
    judgements = [judge(rows, split, kind) for split in SPLITS for kind in KINDS]
    beside = above(rows, "loo", "uniform")
    findings, remarks = read_findings(EVIDENCE / STUDIES), (EVIDENCE / REMARKS).read_text()
    page = evidence_page(rows, judgements, beside, findings, COMMAND, Budget(), remarks)
    assert (EVIDENCE / PAGE).read_text() == page + "\n"
    assert (EVIDENCE / HTML).read_text() == evidence_html(page)
    write_verdicts(judgements, tmp_path / VERDICTS)
    assert (EVIDENCE / VERDICTS).read_text() == (tmp_path / VERDICTS).read_text()
    write_above(beside, tmp_path / ABOVE)
    assert (EVIDENCE / ABOVE).read_text() == (tmp_path / ABOVE).read_text()


@pytest.mark.parametrize("path", sorted((EVIDENCE / RANKS).glob("*.parquet")), ids=lambda path: path.stem)
def test_ranks_hold_case_numbers_and_no_ids(path: Path) -> None:
    assert set(pq.read_schema(path).names) == {
        "file",
        "case",
        "rank",
        "valid",
        "full_rank",
        "history_bucket",
        "popularity_decile",
        "density",
        "cluster",
    }


def test_every_comparison_stands_on_all_test_users() -> None:
    rows = json.loads((EVIDENCE / TABLE).read_text())
    judged = [row for row in rows if row["method"] in ("LoRA", "iLoRA", "Static gate", "SASRec")]
    assert judged and all(row["n"] >= 900 for row in judged if row["split"] == "loo")
