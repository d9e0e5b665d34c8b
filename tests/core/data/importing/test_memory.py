"""A million rows fit into a small machine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MILLION = 1_000_000
GIGABYTE = 1 << 30
PROGRAM = """
import resource, sys
from pathlib import Path
from core.data.importing.run import import_dataset
from core.data.importing.wanted import Wanted
report = import_dataset(Wanted(Path(sys.argv[1]), out=Path(sys.argv[2])))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(report.interactions, report.users, report.items, peak)
"""


@pytest.mark.bench
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is counted in another unit")
def test_a_million_rows_stay_below_one_and_a_half_gigabytes(tmp_path: Path, repository: Path) -> None:
    """In a process of its own: the peak of this one is not ours alone."""
    draw = np.random.default_rng(1)
    columns = (
        (100_000 * draw.random(MILLION) ** 2).astype(int),
        (20_000 * draw.random(MILLION) ** 2).astype(int),
        draw.integers(1, 11, MILLION) / 2,
        draw.integers(1_300_000_000, 1_600_000_000, MILLION),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    with (tmp_path / "million.csv").open("w") as file:
        file.write("user_id,item_id,rating,timestamp\n")
        file.writelines(f"u{u},B{i:06d},{stars},{time}\n" for u, i, stars, time in rows)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "million.csv"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    interactions, users, items, peak = map(int, done.stdout.split())
    assert interactions == len(np.unique(columns[0] * 20_000 + columns[1]))
    assert (users, items) == (len(np.unique(columns[0])), len(np.unique(columns[1])))
    assert peak <= 1.5 * GIGABYTE
