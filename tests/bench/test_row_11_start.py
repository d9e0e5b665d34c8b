"""Row 11: a fresh process, from nothing to the first recommendation, and what it held at most."""

from pathlib import Path

from tests.bench.conftest import Bench
from tests.bench.memory import run_python
from tests.bench.timing import Measured

SCRIPT = Path(__file__).with_name("first_recommendation.py")


def test_the_first_recommendation(bench: Bench, repository: Path) -> None:
    runs = [run_python([str(SCRIPT)], PYTHONPATH=str(repository)) for _ in range(1 + bench.of(3, 0))]
    kept = runs[1:] or runs  # the first one fills the file cache
    bench.record("11", Measured.of([run.seconds for run in kept]), "the interpreter's own start included")
    bench.record("11-memory", Measured.of([run.resident / 1e9 for run in kept]))
