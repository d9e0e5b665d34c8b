"""Twenty visitors at once for two minutes: no error, nobody gets another's answer, and how long it takes.

pytest tests/bench/test_visitors.py -m bench                        # 20 visitors, 120 s; writes visitors.json
pytest tests/bench/test_visitors.py -m bench --visitors 3 --seconds 10
"""

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from core.data.dataset import Dataset
from tests.bench.machine import this_machine
from tests.running_server import Server, running_server

RESULTS = Path(__file__).with_name("visitors.json")
VISITORS, SECONDS = 20, 120.0
LINE = 40
"""All of them may wait at once: what is measured is waiting, not refusing."""
THINKING = (1.0, 4.0)
"""Seconds that a visitor looks at an answer before he asks on."""
SHARES = {"recommend": 8, "search": 4, "route": 2, "explain": 2, "compare": 1, "page/recommend": 3}
"""How often each question is asked, relative to the others; "page/" goes through Gradio's queue."""
SEED = 7
Ask = Callable[[], Any]


@dataclass
class Outcome:
    """What one visitor met.

    Attributes:
        seconds: by question.
        wrong: answers that are not what the visitor alone got.
        errors: what went wrong, in words.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def _questions(server: Server, history: list[str]) -> dict[str, Ask]:
    """One visitor's ways to ask, over connections of his own."""
    http = httpx.Client(base_url=server.address, timeout=120)
    gradio = Client(server.address, verbose=False)

    def post(name: str) -> Ask:
        return lambda: http.post(f"/api/{name}", json={"history": history}).raise_for_status().json()

    def search() -> Any:
        return http.get("/api/search", params={"q": history[0][:3]}).raise_for_status().json()

    asks: dict[str, Ask] = {name: post(name) for name in ("recommend", "route", "explain", "compare")}
    return asks | {"search": search, "page/recommend": lambda: gradio.predict(history, api_name="/recommend")}


def _essence(answer: Any) -> Any:
    """An answer without its times, which no two have in common."""
    if isinstance(answer, dict):
        timed = ("timings_ms", "milliseconds")
        return {key: _essence(value) for key, value in answer.items() if key not in timed}
    if isinstance(answer, list):
        return [_essence(part) for part in answer]
    return round(answer, 4) if isinstance(answer, float) else answer


def _visit(asks: Mapping[str, Ask], alone: Mapping[str, Any], seed: int, until: float, met: Outcome) -> None:
    """Ask and look, ask and look, until the time is over."""
    draw = random.Random(seed)
    while time.monotonic() < until:
        [name] = draw.choices(list(SHARES), list(SHARES.values()))
        began = time.perf_counter()
        try:
            answer = _essence(asks[name]())
        except (httpx.HTTPError, AppError, OSError, ValueError) as error:
            met.errors.append(f"{name}: {type(error).__name__}: {error}")
            continue
        met.seconds[name].append(time.perf_counter() - began)
        if answer != alone[name]:
            met.wrong.append(name)
        time.sleep(draw.uniform(*THINKING))


def _histories(dataset: Dataset, count: int) -> list[list[str]]:
    """Real people's last ten titles; no two alike."""
    cases = [case for case in dataset.split("loo").test if len(case.history) >= 10][:count]
    return [[dataset.catalog[index].title for index in case.history[-10:]] for case in cases]


def test_visitors_at_once_get_what_each_gets_alone(
    repository: Path, movielens: Dataset, pytestconfig: pytest.Config
) -> None:
    quick = bool(pytestconfig.getoption("--quick", default=False))
    visitors = pytestconfig.getoption("--visitors", default=None) or (3 if quick else VISITORS)
    seconds = pytestconfig.getoption("--seconds", default=None) or (10.0 if quick else SECONDS)
    histories = _histories(movielens, visitors)
    assert len({tuple(history) for history in histories}) == visitors
    with running_server(repository, "--max-queue", str(LINE)) as server:
        asks = [_questions(server, history) for history in histories]
        alone = [{name: _essence(ask()) for name, ask in mine.items()} for mine in asks]
        assert len({json.dumps(answers["recommend"]) for answers in alone}) == visitors
        met = [Outcome() for _ in range(visitors)]
        until = time.monotonic() + seconds
        crowd = [
            threading.Thread(target=_visit, args=(asks[n], alone[n], SEED + n, until, met[n]))
            for n in range(visitors)
        ]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(seconds + 600)
    told = _told(met, visitors, seconds)
    print(json.dumps(told["endpoints"], indent=1))
    assert not any(one.is_alive() for one in crowd)
    assert [error for one in met for error in one.errors] == []
    assert Counter(name for one in met for name in one.wrong) == Counter()
    if visitors == VISITORS and seconds == SECONDS:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _told(met: list[Outcome], visitors: int, seconds: float) -> dict[str, Any]:
    times = {name: [second for one in met for second in one.seconds[name]] for name in SHARES}
    return {
        "visitors": visitors,
        "seconds": seconds,
        "thinking_s": list(THINKING),
        "errors": sum(len(one.errors) for one in met),
        "wrong_answers": sum(len(one.wrong) for one in met),
        "endpoints": {
            name: {
                "answers": len(taken),
                "p50_s": round(float(np.quantile(taken, 0.5)), 3),
                "p95_s": round(float(np.quantile(taken, 0.95)), 3),
            }
            for name, taken in times.items()
            if taken
        },
        "machine": this_machine().as_dict(),
        "date": datetime.now(UTC).date().isoformat(),
    }
