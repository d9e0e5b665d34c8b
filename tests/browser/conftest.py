"""A real server in a process of its own, and a real Chromium with fresh profiles. ILORA_BUNDLE works."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request, expect, sync_playwright

from tests.browser.people import Server, Visitor
from tests.browser.training import write_runs
from tests.running_server import running_server

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network but this server
]
PATIENCE_MS = 30_000  # a loaded machine is slow; nothing here asserts seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(600))  # the first one waits for the server


@pytest.fixture(scope="session")
def stopped() -> list[Server]:
    """Servers that a test has stopped; the next one starts where the last of them was, as after an update."""
    return []


@pytest.fixture(scope="session")
def server(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, stopped: list[Server]
) -> Iterator[Server]:
    runs = write_runs(tmp_path_factory.mktemp("runs"))
    port = stopped[-1].port if stopped else 0
    with running_server(repository, "--runs", str(runs), port=port) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "these tests need Chromium: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


def _visitor(browser: Browser, server: Server, width: int, height: int, scheme: str) -> Iterator[Visitor]:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(context.new_page())

    def requested(request: Request) -> None:
        visitor.requested.append(request.url)

    visitor.page.on("request", requested)
    visitor.page.on("console", lambda m: visitor.complaints.append(m.text) if m.type == "error" else None)
    visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    visitor.page.goto(server.address)
    visitor.page.locator("#result ol.ranked li").first.wait_for()
    yield visitor
    context.close()


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Visitor]:
    yield from _visitor(browser, server, 1280, 900, "light")


@pytest.fixture
def phone(browser: Browser, server: Server) -> Iterator[Visitor]:
    yield from _visitor(browser, server, 390, 844, "light")


@pytest.fixture
def night(browser: Browser, server: Server) -> Iterator[Visitor]:
    yield from _visitor(browser, server, 1280, 900, "dark")


@pytest.fixture
def phone_at_night(browser: Browser, server: Server) -> Iterator[Visitor]:
    yield from _visitor(browser, server, 390, 844, "dark")
