"""What docs/evidence says is what its ranks give, and its ranks name nobody."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.cli.evidence import (
    ABOVE,
    COMMAND,
    HTML,
    PAGE,
    RANKS,
    REMARKS,
    SPLITS,
    STUDIES,
    TABLE,
    VERDICTS,
    command_of,
)
from app.report.evidence_page import evidence_html, evidence_page
from core.data.candidates import KINDS
from core.evaluation.table import read_archives, table_row
from core.studies.above import above, write_above
from core.studies.finding import read_findings
from core.studies.grid import Budget
from core.studies.judging import judge, write_verdicts

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"
SLOW = ("model.token_dropout=0.2", "model.item_dropout=0.1", "optimizer.adapter_lr=0.0005")
"""What the recipe was before it was chosen well."""
REPORTS = {
    EVIDENCE: COMMAND,
    EVIDENCE / "slow": command_of(SLOW, Path("runs/slow"), Path("docs/evidence/slow")),
}


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_table_page_and_verdicts_are_those_of_the_ranks(report: Path, tmp_path: Path) -> None:
    rows = read_archives(report / RANKS)
    assert json.loads((report / TABLE).read_text()) == [asdict(table_row(row)) for row in rows]
    judgements = [judge(rows, split, kind) for split in SPLITS for kind in KINDS]
    beside = above(rows, "loo", "uniform")
    findings, remarks = read_findings(report / STUDIES), (report / REMARKS).read_text()
    page = evidence_page(rows, judgements, beside, findings, REPORTS[report], Budget(), remarks)
    assert (report / PAGE).read_text() == page + "\n"
    assert (report / HTML).read_text() == evidence_html(page)
    write_verdicts(judgements, tmp_path / VERDICTS)
    assert (report / VERDICTS).read_text() == (tmp_path / VERDICTS).read_text()
    write_above(beside, tmp_path / ABOVE)
    assert (report / ABOVE).read_text() == (tmp_path / ABOVE).read_text()


ARCHIVES = sorted(path for report in REPORTS for path in (report / RANKS).glob("*.parquet"))


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
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
