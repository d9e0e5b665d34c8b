"""`ilora evaluate` and `ilora compare` as a person and a program meet them."""

import json
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.evaluation.table import TableRow, read_table
from core.training.recipe import Recipe
from tests.command_line import ilora
from tests.core.evaluation.untrained_runs import make_run
from tests.core.training.conftest import movielens, quick_recipe, settings, shallow_folder

__all__ = ["movielens", "quick_recipe", "settings", "shallow_folder"]  # fixtures

USERS = 6


@pytest.fixture(scope="module")
def runs(
    quick_recipe: Callable[..., Recipe], movielens: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    shuffled = quick_recipe("adapter.gate_reads=shuffled", method="ilora", split="paper")
    recipes = {m: quick_recipe(method=m, split="paper") for m in ("lora", "ilora")} | {"shuffled": shuffled}
    return {name: make_run(folder / name, recipe, movielens) for name, recipe in recipes.items()}


@pytest.fixture(scope="module")
def evaluated(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """What `evaluate --json` printed, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("evaluations")
    options = ("--no-baselines", "--users", USERS, "--draws", 2, "--out", out)
    done = ilora("evaluate", runs["lora"], *options, "--json", "--table", out / "table.json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), out


def test_json_is_all_that_stands_on_stdout_and_keeps_sampled_and_full_apart(
    evaluated: tuple[dict, Path], runs: dict[str, Path]
) -> None:
    record, _ = evaluated
    assert set(record) == {"warning", "sampled", "full"} and "must not be compared" in record["warning"]
    assert [row["method"] for row in record["sampled"]] == ["LoRA", "LoRA + SASRec", "LoRA + Stack"]
    first = record["sampled"][0]
    assert set(first) == {
        *("method", "run", "seed", "n", "candidates", "draws", "note", "files"),
        *("hr1", "low", "high", "valid_ratio", "hr1_valid_only"),
    }
    assert (first["run"], first["seed"], first["n"], first["draws"]) == ("lora", 1, USERS, 2)
    assert all(Path(file["path"]).is_file() and len(file["sha256"]) == 64 for file in first["files"])
    assert "ndcg10" in record["full"][0] and "hr1" not in record["full"][0]


def test_the_table_has_one_object_per_row(evaluated: tuple[dict, Path]) -> None:
    _, out = evaluated
    rows = read_table(out / "table.json")
    assert [(row.dataset, row.split, row.method, row.n) for row in rows] == [
        ("movielens", "paper", "LoRA", USERS),
        ("movielens", "paper", "LoRA + SASRec", USERS),
        ("movielens", "paper", "LoRA + Stack", USERS),
    ]
    stored = json.loads((out / "table.json").read_text())
    assert [set(row) for row in stored] == [set(TableRow.__dataclass_fields__)] * 3


def test_a_table_alone_needs_no_run(evaluated: tuple[dict, Path], tmp_path: Path) -> None:
    _, out = evaluated
    done = ilora("evaluate", "--out", out, "--table", tmp_path / "table.md")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "table.md")]
    assert "| LoRA + SASRec | 1 |" in (tmp_path / "table.md").read_text()


def test_compare_asks_what_is_missing_prints_the_verdict_and_writes_the_report(
    evaluated: tuple[dict, Path], runs: dict[str, Path], tmp_path: Path
) -> None:
    _, out = evaluated
    before = {path: path.stat().st_mtime_ns for path in out.rglob("lora--*.parquet")}
    options = ("--no-baselines", "--users", USERS, "--draws", 2, "--out", out)
    report = tmp_path / "new" / "report.html"
    named = (runs["ilora"], runs["lora"], "--controls", runs["shuffled"])
    done = ilora("compare", *named, *options, "--report", report)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"movielens paper, {USERS} test users, HR@1 among 20 candidates")
    assert "iLoRA" in first and "against LoRA" in first and "smallest" in first and first.endswith(".")
    assert "Not decided: there is no comparison with static." in done.stdout
    assert "must not be compared" in done.stdout and done.stdout.splitlines()[-1] == str(report)
    assert escape(first) in report.read_text(encoding="utf-8")
    assert before and {path: path.stat().st_mtime_ns for path in before} == before

    again = ilora("compare", *named, *options, "--json")
    record = json.loads(again.stdout)
    assert record["verdict"] == first and record["better"] is False
    assert [pair["against"] for pair in record["comparisons"]] == ["LoRA", "Shuffled gate"]
    pair = record["comparisons"][0]
    assert pair["n"] == USERS and set(pair["difference"]) == {"mean", "low", "high", "n"}
    assert {"sampled", "full", "warning", "notes", "ruling", "report"} <= set(record)


def refused(*arguments: object) -> str:
    """The one line that a mistake prints; the exit code is 2 and stdout stays empty."""
    done = ilora(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    return done.stderr


def test_a_wrong_folder_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = ilora("evaluate", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: {tmp_path} holds no run (recipe.yaml is missing): name a folder that `ilora train` made.\n"
    )


def test_mistakes_are_told_before_anything_slow(runs: dict[str, Path], tmp_path: Path) -> None:
    lora, control = runs["lora"], runs["shuffled"]
    assert "Name finished run folders" in refused("evaluate")
    assert "name a .json or a .md file" in refused("evaluate", lora, "--table", "t.csv")
    assert "evaluate it on paper" in refused("evaluate", lora, "--split", "loo")
    assert "holds no results" in refused("evaluate", "--table", "t.md", "--out", tmp_path)
    assert "these are: LoRA, Shuffled gate" in refused("compare", lora, control)
    assert "is named twice" in refused("compare", lora, lora)
    assert "name a .html file" in refused("compare", lora, lora, "--report", "r.pdf")
    assert "--draws" in refused("compare", lora, lora, "--draws", 0)
    assert "--candidates" in refused("evaluate", lora, "--candidates", "hardest")
