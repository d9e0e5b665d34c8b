"""Row 11: a fresh process, from nothing to the first recommendation, and what it held at most."""

from statistics import median

from tests.bench.conftest import Bench
from tests.bench.memory import run_module
from tests.bench.timing import Measured


def test_the_first_recommendation(bench: Bench) -> None:
    runs = [run_module("tests.bench.first_recommendation") for _ in range(1 + bench.of(3, 0))]
    kept = runs[1:] or runs  # the first one fills the file cache
    libraries = [run_module("tests.bench.given_libraries").seconds for _ in range(bench.of(3))]
    bench.record(
        "11",
        Measured.of([run.seconds for run in kept]),
        "start and end of the interpreter included",
        {"s, importing the given libraries and nothing else": median(libraries)},
    )
    bench.record("11-memory", Measured.of([run.resident / 1e9 for run in kept]))
