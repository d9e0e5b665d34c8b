"""The report of a comparison stands by itself, says its verdict, and each number leads back to a file."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest

from app.report.comparison_page import comparison_page
from app.report.markdown import markdown_table
from app.report.verdict import verdict
from app.report.words import p_value, points
from core.data.candidate_files import candidate_file
from core.evaluation import questions
from core.evaluation.run_comparison import RunComparison, compare_runs
from core.evaluation.summary import Row, group_draws, summarise
from core.evaluation.table import table_row
from tests.core.evaluation.toy import USERS, results_of, toy_questions

EVERY = {"Popularity": 10, "LoRA": 3, "Static gate": 4, "Shuffled gate": 5, "iLoRA": 2}


class Page(HTMLParser):
    """What a browser would see: texts, tags with attributes, and scripts apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[RunComparison]:
    """Two seeds, two kinds of candidates, all controls, known hits; a run's name that tries to be a tag."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("candidates")
        patch.setattr(questions, "candidate_file", lambda *a, **k: candidate_file(*a, **{**k, "root": root}))
        asked = toy_questions(kinds=("uniform", "popularity"))
    gates = np.random.default_rng(3).dirichlet([2, 1, 1, 1], size=USERS).astype(np.float32)
    rows: list[Row] = []
    for seed in (1, 2):
        for label, every in EVERY.items():
            hit: Callable[[int], bool] = lambda i, m=every, s=seed: (i + s) % m == 0  # type: ignore[misc]  # noqa: E731
            experts = gates if "gate" in label or label == "iLoRA" else None
            results = results_of(asked, folder, label, hit, seed, experts)
            rows += [summarise(group) for group in group_draws(results)]
    return [compare_runs(rows, kind, ["<b>a note</b>"]) for kind in ("uniform", "popularity")]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def text(compared: list[RunComparison]) -> str:
    return comparison_page(compared)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_is_whole_and_says_the_verdict(page: Page, compared: list[RunComparison]) -> None:
    assert page.open == []
    for comparison in compared:
        assert verdict(comparison) in page.text
    assert compared[0].ruling.reason in page.text


def test_nothing_is_fetched_from_anywhere(page: Page, text: str) -> None:
    for tag, attributes in page.tags:
        assert not {"src", "href", "action", "data", "poster"} & set(attributes), tag
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object", "base", "form"} == set()
    styles = re.findall(r"<style>(.*?)</style>", text, flags=re.S)
    assert styles and not any("url(" in style or "@import" in style for style in styles)
    [policy] = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'") and "http" not in policy


def test_plotly_stands_in_the_page_once(page: Page) -> None:
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1
    assert sum("Plotly.newPlot" in script for script in page.scripts if len(script) < 1_000_000) >= 7


def test_text_from_outside_is_no_markup(text: str, page: Page) -> None:
    assert "<b>a note</b>" not in text and "<b>a note</b>" in page.text


def test_every_table_names_its_files_hashes_and_filter(text: str, compared: list[RunComparison]) -> None:
    tables = text.split("<table>")[1:]
    traced = [part for part in tables if "Where these numbers come from" in part]
    assert len(tables) == len(traced) + 1  # the last lists how the methods were made, with their recipes
    assert all(re.search(r"sha256 <code>[0-9a-f]{64}</code>", part) for part in traced)
    for row in compared[0].rows:
        for file in row.files:
            assert file.path.name in text and file.sha256 in text


def test_sampled_and_full_numbers_never_share_a_table(text: str) -> None:
    for part in text.split("<table>")[1:]:
        head = part[: part.index("</thead>")]
        assert not ("HR@1 [" in head and "NDCG" in head)
    assert text.count("must not be compared") >= 2


def test_every_difference_stands_beside_the_smallest_that_could_be_shown(page: Page) -> None:
    assert "smallest detectable, points" in page.text


def test_both_seeds_are_shown(text: str) -> None:
    assert "HR@1 over training seeds" in text and "standard deviation" in text


def test_the_verdict_is_one_sentence_with_all_it_needs(compared: list[RunComparison]) -> None:
    sentence = verdict(compared[0])
    assert sentence.startswith("toy loo, 150 test users, HR@1 among 20 candidates (uniform negatives)")
    assert "training seeds 1, 2" in sentence and "smallest" in sentence and "p " in sentence
    assert sentence.count("[") == 4 and "over users and seeds [" in sentence and "\n" not in sentence


def test_a_lead_over_lora_alone_is_not_quotable_without_saying_that_it_does_not_count(
    compared: list[RunComparison],
) -> None:
    assert "; iLoRA counts as better: it beats LoRA, Static gate and Shuffled gate." in verdict(compared[0])
    left = [row for row in compared[0].rows if row.header.method != "Static gate"]
    assert verdict(compare_runs(left, "uniform")).endswith(
        "; yet not decided: there is no comparison with static."
    )


def test_markdown_keeps_sampled_and_full_apart(compared: list[RunComparison]) -> None:
    text = markdown_table([table_row(row) for comparison in compared for row in comparison.rows])
    blocks = text.strip().split("\n\n")
    assert [block for block in blocks if block.startswith("**")] == [
        "**toy loo, among uniform candidates**",
        "**toy loo, among popularity candidates**",
        "**toy loo, full catalogue (another question: not comparable)**",
    ]
    for table in blocks[1::2]:
        lines = table.splitlines()
        assert len(lines) == 2 + 2 * len(EVERY) and len({line.count("|") for line in lines}) == 1
        assert not ("HR@1 [" in lines[0] and "NDCG" in lines[0])


def test_numbers_as_they_are_written() -> None:
    assert points(-0.0123) == "−1.2" and points(-1e-9) == "+0.0" and points(0.1) == "+10.0"
    assert p_value(0.0004) == "p < 0.001" and p_value(0.04) == "p = 0.040"
