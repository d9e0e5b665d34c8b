"""Options, the record of a run, and the real parts that the rows measure."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.prompt import Wording
from core.recommender import Recommender
from exports.bundle import load_bundle
from quant.backbone import Backbone, load_backbone
from quant.nf4 import Linear4bit, linears_4bit
from tests.bench.backbone_file import backbone_file
from tests.bench.machine import this_machine
from tests.bench.people import People, people
from tests.bench.results import RESULTS, Row, write_rows
from tests.bench.targets import TARGETS
from tests.bench.timing import Measured


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="bench: everything once, small; nothing is written")
    parser.addoption("--visitors", type=int, help="bench: how many ask at once in test_visitors.py")
    parser.addoption("--seconds", type=float, help="bench: for how long they do")
    parser.addoption("--strict-targets", action="store_true", help="bench: a missed target fails the run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.bench)
            item.add_marker(pytest.mark.timeout(3000))


@dataclass
class Bench:
    """One run of the benchmarks.

    Attributes:
        quick: everything once and small, to see that it runs and that results agree.
        path: where rows are kept.
        rows: what this run measured.
    """

    quick: bool
    path: Path
    rows: list[Row] = field(default_factory=list)

    def of(self, full: int, quick: int = 1) -> int:
        """How many: rounds, people, items."""
        return quick if self.quick else full

    def record(
        self,
        name: str,
        measured: Measured,
        note: str = "",
        details: Mapping[str, float] | None = None,
        series: Mapping[str, Sequence[float]] | None = None,
        scale: float = 1.0,
    ) -> None:
        """Keep a row; `scale` turns the measured unit into the row's."""
        value, low, high = (scale * number for number in (measured.value, measured.low, measured.high))
        row = Row(
            id=name,
            value=value,
            low=low,
            high=high,
            ok=TARGETS[name].reached(value),
            repeats=measured.repeats,
            machine=this_machine().as_dict(),
            date=datetime.now(UTC).date().isoformat(),
            note=note,
            details=details or {},
            series=series or {},
        )
        self.rows.append(row)
        write_rows([row], self.path)


_RUN = pytest.StashKey[Bench]()


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    quick = bool(pytestconfig.getoption("--quick", default=False))
    run = Bench(quick, tmp_path_factory.mktemp("bench") / "results.json" if quick else RESULTS)
    pytestconfig.stash[_RUN] = run
    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is None:
        return
    terminalreporter.section("quick pass: these numbers mean nothing" if run.quick else "rows measured")
    for row in run.rows:
        told = TARGETS[row.id]
        goal = "" if told.target is None else f" (target {told.target:g}{'' if row.ok else ', MISSED'})"
        terminalreporter.write_line(f"{row.id:20} {row.value:10.4g} {told.unit}{goal}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    run = session.config.stash.get(_RUN, None)
    strict = session.config.getoption("--strict-targets", default=False)
    if strict and run is not None and exitstatus == 0 and any(row.ok is False for row in run.rows):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A row that changes torch's threads gives them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def movielens() -> Dataset:
    return load_dataset("movielens")


@pytest.fixture(scope="session")
def product(movielens: Dataset) -> Recommender:
    """What a person is served by: the bundle that comes with the product."""
    return load_bundle(dataset=movielens)


@pytest.fixture(scope="session")
def bare(product: Recommender) -> Backbone:
    """The same NF4 backbone without PEFT and with bitsandbytes' own linears: what stock code would run."""
    backbone = load_backbone(backbone_file(), "nf4")
    for _, linear in linears_4bit(backbone.model):
        linear.__class__ = Linear4bit
    return backbone


@dataclass(frozen=True)
class Side:
    """The product and the bare backbone, both holding their 4-bit weights alike.

    Attributes:
        suffix: of the rows' names.
    """

    product: Recommender
    bare: Backbone
    suffix: str


@pytest.fixture(scope="session", params=["nf4", "cached"])
def side(request: pytest.FixtureRequest, movielens: Dataset) -> Side:
    """For rows that are measured both ways: taken apart in every product, or once when loading."""
    if request.param == "nf4":
        return Side(request.getfixturevalue("product"), request.getfixturevalue("bare"), "")
    loaded = load_bundle(dataset=movielens, weights="cached")
    return Side(loaded, load_backbone(backbone_file(), "nf4", weights="cached"), "-cached")


@pytest.fixture(scope="session")
def viewers(movielens: Dataset, product: Recommender) -> People:
    """MovieLens test users: last 10 items, 20 candidates."""
    return people(movielens, product.ranker.wording)


@pytest.fixture(scope="session")
def listeners(product: Recommender, shared_data: Path) -> People:
    """LastFM test users, where the development data is."""
    before = os.environ.get("ILORA_ASSET_DIR")
    os.environ["ILORA_ASSET_DIR"] = str(shared_data)
    try:
        dataset = load_dataset("lastfm")
    finally:
        if before is None:
            del os.environ["ILORA_ASSET_DIR"]
        else:
            os.environ["ILORA_ASSET_DIR"] = before
    return people(dataset, Wording.of(product.ranker.wording.tokenizer, dataset.catalog, dataset.domain))
