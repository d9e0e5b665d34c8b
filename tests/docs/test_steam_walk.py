"""A data set that is not in the repository, from its file to a served list in four commands, timed.

Left out of the default suite: `pytest tests/docs/test_steam_walk.py -m bench -s`. ILORA_WALK_STEPS says how
long it trains ("all" is the whole recipe); a few steps are enough to time everything else.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from tests.own_data import own_cache, set_

ILORA = (sys.executable, "-m", "app.cli.main")
STEPS = os.environ.get("ILORA_WALK_STEPS", "4")
SHORT = (
    () if STEPS == "all" else (f"run.max_steps={STEPS}", "encoder.max_epochs=2", "run.validation_users=50")
)
HALF_AN_HOUR = 1800


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_from_a_raw_csv_to_a_served_list_in_four_commands(
    shared_data: Path, repository: Path, tmp_path: Path
) -> None:
    raw = shared_data / "steam_reviews"
    port = _free_port()
    commands = (
        ("data", "import", raw / "reviews.csv.gz", "--items", raw / "titles.csv.gz", "--kind", "game"),
        ("train", "--recipe", "laptop", "--dataset", "reviews", *set_(*SHORT)),
        ("bundle", "--ilora", "runs/reviews-ilora"),
        ("serve", "--bundle", "bundles/reviews", "--port", port),
    )
    where = {
        **os.environ,
        "ILORA_CACHE": str(own_cache(tmp_path / "cache")),
        "PYTHONPATH": str(repository),
        "HF_HUB_OFFLINE": "1",
    }
    seconds: dict[str, float] = {}
    for command in commands[:3]:
        began = time.monotonic()
        done = subprocess.run(
            [*ILORA, *map(str, command)], cwd=tmp_path, env=where, capture_output=True, text=True
        )
        name = "data import" if command[0] == "data" else str(command[0])
        seconds[name] = time.monotonic() - began
        print(f"\n{name}: {seconds[name]:.1f} s\n{done.stdout[-900:]}")
        assert done.returncode == 0, done.stderr[-2000:]
    began = time.monotonic()
    server = subprocess.Popen([*ILORA, *map(str, commands[3])], cwd=tmp_path, env=where)
    try:
        _wait_until_healthy(port)
        titles = ["Counter-Strike: Global Offensive", "Team Fortress 2", "Garry's Mod"]
        listed = _ask(port, {"history": titles, "k": 10})
        seconds["serve, to the first list"] = time.monotonic() - began
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(120)
    print("\n".join(item["title"] for item in listed))
    print("\n".join(f"{name:28s} {spent:8.1f} s" for name, spent in seconds.items()))
    assert len(listed) == 10
    if STEPS == "all":
        assert sum(seconds.values()) < HALF_AN_HOUR


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_healthy(port: int) -> None:
    for _ in range(1200):
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=10):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("the server did not come up within ten minutes")


def _ask(port: int, question: dict[str, object]) -> list[dict[str, object]]:
    request = Request(
        f"http://127.0.0.1:{port}/api/recommend",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=120) as answer:
        return list(json.load(answer)["items"])
