"""Passwords and limits, and a stop that answers what was asked; with the real bundle behind."""

import socket
import threading
import time
import urllib.request

import pytest
import uvicorn
from fastapi.testclient import TestClient

from app.access import MOST_ADDRESSES, Access, AccessError, Login, Rate
from app.server import GracefulServer, create_app
from app.web.service import Service
from app.web.shelf import Shelf


def test_a_limit_lets_a_burst_through_and_then_what_time_brings_back() -> None:
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    assert [rate.wait("a") for _ in range(60)] == [0.0] * 60
    assert rate.wait("a") == pytest.approx(1.0)
    assert rate.wait("b") == 0.0  # somebody else is not held up
    now = 2.5
    assert [rate.wait("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.5)]


def test_a_flood_of_addresses_does_not_fill_the_memory() -> None:
    rate = Rate(1)
    for number in range(MOST_ADDRESSES + 50):
        rate.wait(str(number))
    assert len(rate._left) == MOST_ADDRESSES


@pytest.mark.parametrize("text", ["", "team", "team:", ":secret"])
def test_a_login_without_name_or_password_is_refused(text: str) -> None:
    with pytest.raises(AccessError, match="--auth team:secret"):
        Login.parse(text)


def test_a_password_may_hold_colons_and_any_letters() -> None:
    login = Login.parse("team:gehe:ïm 🎬")
    assert login.password == "gehe:ïm 🎬"
    good = "Basic dGVhbTpnZWhlOsOvbSDwn46s"
    assert login.admits(good) and login.admits(good.replace("Basic", "basic"))
    for bad in ("", "Basic", "Basic !!!", "Bearer dGVhbTpnZWhlOsOvbSDwn46s", "Basic dGVhbTp4"):
        assert not login.admits(bad)


def test_only_the_health_check_answers_without_the_password(client: TestClient) -> None:
    guarded = TestClient(Access(client.app, Login("team", "secret"), None), base_url="http://127.0.0.1")
    for path in ("/", "/config", "/metrics", "/api/search?q=fargo", "/gradio_api/info"):
        assert guarded.get(path).status_code == 401, path
    assert guarded.get("/health").status_code == 200
    assert guarded.get("/api/search?q=fargo", auth=("team", "secret")).status_code == 200


def test_too_many_questions_are_told_when_to_come_back(client: TestClient) -> None:
    limited = TestClient(Access(client.app, None, Rate(2)), base_url="http://127.0.0.1")
    answers = [limited.get("/api/search?q=fargo") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) >= 1 and "wait" in answers[2].json()["detail"]
    assert limited.get("/health").status_code == 200


def test_a_stop_answers_what_was_asked_and_lets_nobody_new_in(service: Service) -> None:
    line = service.turnstile.line
    server = GracefulServer(
        uvicorn.Config(create_app(Shelf.of(service)), log_level="error", access_log=False), service.turnstile
    )
    server.config.timeout_graceful_shutdown = 3
    with socket.create_server(("127.0.0.1", 0)) as bound:
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        running = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        running.start()
        release, inside = threading.Event(), threading.Event()

        def occupy() -> None:
            with service.turnstile.pass_through():
                inside.set()
                release.wait(60)

        statuses: list[int] = []

        def ask() -> None:
            body = b'{"history": ["Fargo (1996)"]}'
            question = urllib.request.Request(
                f"{address}/api/recommend", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(question, timeout=120) as answer:
                statuses.append(answer.status)

        try:
            while not server.started:
                time.sleep(0.05)
            for work in (occupy, ask):
                threading.Thread(target=work).start()
            inside.wait(60)
            while service.turnstile.present < 2:
                time.sleep(0.05)
            server.should_exit = True
            time.sleep(1)
            assert running.is_alive() and statuses == []
            with pytest.raises(OSError), urllib.request.urlopen(f"{address}/health", timeout=5):
                pass
        finally:
            release.set()
            running.join(120)
            service.turnstile.line = line
    assert statuses == [200] and not running.is_alive()
