"""`ilora study`: a plot for every study, drawn from its numbers alone, and the page that shows them."""

import json
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest

from app.cli.study import STEPS, Name
from app.report.evidence_page import evidence_html, evidence_page
from app.report.study_plots import PLOTS, draw
from core.studies.finding import Finding
from core.studies.grid import Budget
from tests.command_line import ilora

RATE = {"mean": 0.4, "low": 0.35, "high": 0.46, "n": 900}
LATER = {"mean": 0.02, "low": -0.01, "high": 0.05, "n": 900}
GATE = {"shares": [0.5, 0.5], "information": 0.1, "alarms": ["Expert 0 is dead."]}
POINT = {"hr1": RATE, "ndcg10": 0.1}
ARM = {"label": "a & b <c>", "series": "r 16", "size": 2, "hr1": RATE, "against": LATER}
LEVEL = {
    "heterogeneity": 0.5, "best": 0.8, "encoder": RATE, "lora": RATE, "ilora": RATE,
    "found_by_gate": 0.5, "found_by_leader": 0.4, "found_by_encoder": 0.9, "told_linearly": 0.6,
}  # fmt: skip
WAY = {"label": "SASRec alone", "anywhere": RATE, "last": RATE, "next": RATE}
NUMBERS: dict[str, dict[str, Any]] = {
    "collapse": {"experts": 2, "gates": {"trained": GATE | {"alarms": []}, "broken": GATE}},
    "gradients": {
        "adapters": {
            name: {"cosines": [[1.0, -0.2], [-0.2, 0.9]], "within": 0.95, "between": -0.2}
            for name in ("lora", "ilora")
        }
    },
    "coldstart": {"methods": [{"label": "LoRA", "lengths": {"1": POINT, "10": POINT}}]},
    "gate": {"n": 900, "arms": [ARM | {"against": None}, ARM]},
    "experts": {"n": 900, "arms": [ARM, ARM | {"size": 4}, ARM | {"series": "r 2 each"}]},
    "levers": {"n": 900, "arms": [ARM | {"against": None}, ARM]},
    "gaps": {"n": 900, "ways": [WAY, WAY | {"label": "no dropout"}]},
    "heterogeneity": {"n": 800, "levels": [LEVEL, LEVEL | {"heterogeneity": 1.0}]},
    "mixed": {"datasets": {"movielens": {"lora": {"difference": LATER}, "ilora": {"difference": LATER}}}},
}


def finding(name: str) -> Finding:
    return Finding(name, f"What of {name}?", "It is so, n = 900.", NUMBERS[name])


def test_every_study_has_a_plot() -> None:
    assert set(get_args(Name)) == set(PLOTS) == set(NUMBERS) > set(STEPS)


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_plot_is_an_svg_that_loads_nothing_and_is_the_same_every_time(name: str, tmp_path: Path) -> None:
    path = draw(finding(name), tmp_path)
    first = path.read_bytes()
    ElementTree.fromstring(first)
    assert b"<script" not in first and b'xlink:href="http' not in first and len(first) < 200_000
    assert draw(finding(name), tmp_path).read_bytes() == first


def test_the_page_shows_studies_between_verdicts_and_rows() -> None:
    page = evidence_page([], [], [], [finding("gate"), finding("mixed")], "make evidence", Budget())
    assert (
        page.index("## Studies")
        < page.index("### gate")
        < page.index("### mixed")
        < page.index("## All rows")
    )
    assert "![What of gate?](studies/gate.svg)" in page and "It is so, n = 900." in page
    assert "## Studies" not in evidence_page([], [], [], [], "make evidence", Budget())
    html = evidence_html(page)
    assert '<img src="studies/gate.svg" alt="What of gate?"' in html and "http" not in html.replace(
        "https://arxiv", ""
    )


def test_the_products_own_gate_is_looked_at(tmp_path: Path) -> None:
    done = ilora("study", "collapse", "--report", tmp_path, "--threads", 1)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "studies" / "collapse.json").read_text())
    assert written["numbers"]["n"] == 943 and written["sentence"] in done.stdout
    assert (tmp_path / "studies" / "collapse.svg").is_file()
    assert not (tmp_path / "README.md").exists(), "no page where there are no ranks"


def test_a_study_of_no_runs_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = ilora("study", "gradients", "--run", tmp_path, "--report", tmp_path)
    assert done.returncode != 0 and "holds no run" in done.stderr
    assert ilora("study", "astrology").returncode != 0
