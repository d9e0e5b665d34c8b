"""What the planner says of a training step is what the step was weighed to hold: real backbone, real rows.

Weighed in a fresh process by the events of torch's CPU allocator: every tensor's bytes, taken and given back,
and nothing of the interpreter's. Exact, so a busy machine changes nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.training.memory import Batch, CatalogueShape, catalogue_shape, largest_batch, memory_of
from core.training.recipe import load_recipe
from quant.planner import architecture_of, published_config

pytestmark = pytest.mark.timeout(900)  # a busy machine is slow, and no worse at counting
# Small, so that they take seconds; docs/memory.md has larger ones.
CASES = (
    "catalogue,2",
    "catalogue,4,optimizer.gradient_checkpointing=true",
    "branch,1,rows.candidates=4",
)


@pytest.fixture(scope="module")
def weighed(repository: Path) -> dict[str, dict[str, int]]:
    program = Path(__file__).with_name("weigh.py")
    command = [sys.executable, "-c", f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')"]
    patient = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # spinning threads starve one another
    done = subprocess.run(
        [*command, *CASES], cwd=repository, capture_output=True, text=True, timeout=880, env=patient
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_within_15_percent_of_the_weighed_peak(
    case: str, weighed: dict[str, dict[str, int]]
) -> None:
    mode, rows, *more = case.split(",")
    recipe = load_recipe("demo-cpu", [f"optimizer.micro_batch={rows}", *more], mode=mode, method="ilora")
    seen = weighed[case]
    model = architecture_of(published_config("smollm2-135m"))
    told = memory_of(recipe, model, CatalogueShape(1682), "cpu", 4, Batch(**seen["batch"]))
    assert told.resident - told.process == pytest.approx(seen["resident"], rel=0.01)
    assert told.tensors == pytest.approx(seen["peak"], rel=0.15)


@pytest.mark.parametrize("mode", ["catalogue", "branch"])
def test_a_run_is_given_room_for_its_largest_batch(
    mode: str, weighed: dict[str, dict[str, int]], movielens: Dataset
) -> None:
    shape = catalogue_shape(movielens)
    for case, seen in weighed.items():
        if case.startswith(mode):
            _, rows, *more = case.split(",")
            largest = largest_batch(
                load_recipe("demo-cpu", [f"optimizer.micro_batch={rows}", *more], mode=mode), shape
            )
            assert seen["batch"]["length"] <= largest.length <= 1.5 * seen["batch"]["length"]
