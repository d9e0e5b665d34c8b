"""`ilora recommend` as a person and a program meet it."""

import json
import subprocess
import sys
from string import ascii_uppercase

import pytest

from app.cli.recommend import _bar
from exports.bundle_check import read_info
from exports.bundle_info import DEFAULT_BUNDLE
from tests.command_line import ilora

EXPERTS = read_info(DEFAULT_BUNDLE).adapters["ilora"].num_experts
HISTORY = ["Toy Story (1995)", "Fargo (1996)", "50"]


def test_json_is_all_that_stands_on_stdout() -> None:
    command = [sys.executable, "-m", "app.cli.main", "recommend", *HISTORY, "--k", "3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert set(record) == {"items", "gate", "adapter", "timings_ms", "notes", "stage"}
    assert [set(item) for item in record["items"]] == [{"rank", "id", "title", "score", "probability"}] * 3
    assert [item["rank"] for item in record["items"]] == [1, 2, 3]
    assert len(record["gate"]) == EXPERTS and sum(record["gate"]) == pytest.approx(1)
    assert record["adapter"] == "ilora" and record["stage"] == "catalogue"
    assert set(record["timings_ms"]) == {"routing", "retrieval", "ranking", "total"}
    assert not {item["title"] for item in record["items"]} & {"Toy Story (1995)", "Fargo (1996)"}


def test_the_table_shows_titles_bars_experts_and_times() -> None:
    done = ilora("recommend", *HISTORY, "--k", "4", "--gate", "A=4,b=3,C=2,D")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("%") >= 4 + EXPERTS and "█" in done.stdout
    experts = done.stdout[done.stdout.index("Experts") :].split("\n\n")[0].split()
    letters = list(ascii_uppercase[:EXPERTS])
    assert [part for part in experts if part.isalpha()][1:] == letters
    weights = [part for part in experts if part.endswith("%")]
    assert weights == ["40%", "30%", "20%", "10%", *["0%"] * (EXPERTS - 4)]
    assert "ms routing" in done.stdout and "ms ranking" in done.stdout


def test_no_history_works_and_says_what_was_done() -> None:
    popular = ilora("recommend", "--k", "2", "--adapter", "base")
    assert popular.returncode == 0, popular.stderr
    assert "history is empty" in popular.stdout and "most watched" in popular.stdout


def test_candidates_are_named_one_by_one() -> None:
    named = ("--candidates", "Heat (1995)", "--candidates", "100")
    done = ilora("recommend", *HISTORY, "--json", "--adapter", "lora", *named)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [item["title"] for item in record["items"]] == ["Heat (1995)"]
    assert record["gate"] == [] and any("1 of the candidates" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Toy Storry 1995"], "Did you mean: Toy Story (1995)"),
        (["1", "--candidates", "Fargoo"], "Did you mean: Fargo (1996)"),
        (["1", "--gate", "a,bc"], "is no mixture: say A, or A=2,D=1"),
        (["1", "--gate", "Z"], "There is no expert Z: experts are A to"),
        (["1", "--k", "0"], "--k"),
        (["1", "--adapter", "qlora"], "--adapter"),
        (["1", "--bundle", "/nowhere"], "There is no bundle at /nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], sentence: str) -> None:
    done = ilora("recommend", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    *steps, error = done.stderr.strip().splitlines()
    assert sentence in error and all(step.endswith(".") for step in steps), "a slow machine tells its steps"


def test_a_mistake_is_found_without_loading_the_language_model() -> None:
    code = (
        "import sys; from app.cli.recommend import _open; from core.errors import UnknownItem\n"
        "try: _open(None, ['no such film'], ())\n"
        "except UnknownItem: sys.exit('torch' in sys.modules)\n"
        "sys.exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("share", "bar"), [(1.0, "████"), (0.5, "██"), (0.53125, "██▏"), (0.0, "▏")])
def test_a_bar_is_as_long_as_its_share(share: float, bar: str) -> None:
    assert _bar(share, 4) == bar
