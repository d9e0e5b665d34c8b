"""Two data sets on one server, an address that follows, and a server that goes and comes again."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.axe import grave_findings
from tests.browser.conftest import PATIENCE_MS
from tests.browser.people import Server, Visitor
from tests.running_server import running_server

HISTORY = "#history ol.history li"


@pytest.fixture(scope="module")
def films_and_music(repository: Path, music: Path) -> Iterator[Server]:
    films = repository / "exports" / "bundles" / "movielens"
    with running_server(repository, "--bundle", str(films), "--bundle", str(music)) as server:
        yield server


@pytest.fixture
def page(browser: Browser, films_and_music: Server) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(films_and_music.address)
    page.locator("#result ol.ranked li").first.wait_for()
    yield page
    context.close()


class Opening:
    """What the page hears of a data set that is opened: "not yet", for as long as it is held.

    A quick machine has it open while the page is looked at. Never unrouted: an answer may be on its way.
    """

    held = True

    def __call__(self, route: Route) -> None:
        if not self.held:
            route.continue_()
            return
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "open": False})


def test_the_switch_goes_to_another_data_set_and_back_with_nothing_lost(
    page: Page, films_and_music: Server
) -> None:
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    expect(page.get_by_role("navigation", name="Data set").get_by_role("link")).to_have_count(2)
    page.locator(f"{HISTORY} button[data-act=remove]").last.click()
    expect(page.locator(HISTORY)).to_have_count(9)
    page.get_by_role("tab", name="Experts").click()
    expect(page).to_have_url(re.compile(r"/\?history=(\d+,){8}\d+&adapter=ilora&tab=experts$"))
    films = page.url
    page.route("**/opening", opening := Opening())
    page.get_by_role("link", name="Artists").click()
    expect(page.locator("h1")).to_have_text("Opening Artists")
    expect(page.locator("#steps li").first).to_have_text("Reading my-music.")
    assert grave_findings(page) == []
    Visitor(page).screenshot("opening-artists")
    opening.held = False
    expect(page.locator("h1")).to_have_text("Personal experts for every listener", timeout=120_000)
    expect(page.get_by_role("tab", name="Experts")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("link", name="Artists")).to_have_attribute("aria-current", "page")
    page.get_by_role("tab", name="Recommend").click()
    page.locator("#search-box").press_sequentially("007")
    expect(page.get_by_role("option").first).to_contain_text("The 007 Band")
    page.keyboard.press("Enter")
    expect(page.locator(HISTORY).last).to_contain_text("The 007 Band")
    expect(page).to_have_url(re.compile(r"/data/music/\?history=.*a7&adapter=ilora&tab=recommend$"))
    assert "Movies" in page.get_by_role("navigation", name="Data set").inner_text()
    assert grave_findings(page) == []  # with the switch between data sets
    Visitor(page).screenshot("recommend-artists")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Personal experts for every viewer")
    assert page.url == films
    expect(page.get_by_role("tab", name="Experts")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Recommend").click()
    expect(page.locator(HISTORY)).to_have_count(9)
    # A page that is left gives up what it had asked; Gradio's client tells of that as of an error.
    assert [text for text in complaints if not re.search("AbortError|errored out", text)] == []
    page.goto(f"{films_and_music.address}/data/music/?history=a1,a2,nobody&tab=mixing")
    expect(page.locator("#said")).to_contain_text("nobody")
    expect(page.get_by_role("tab", name="Mixing board")).to_have_attribute("aria-selected", "true")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_stopped_server_is_said_and_one_started_anew_gets_the_history_again(
    page: Page, films_and_music: Server, stopped: list[Server], request: pytest.FixtureRequest
) -> None:
    page.locator("#search-box").press_sequentially("farg")
    expect(page.get_by_role("option").first).to_contain_text("Fargo (1996)")
    page.keyboard.press("Enter")
    expect(page.locator(HISTORY)).to_have_count(11)
    expect(page).to_have_url(re.compile("100&adapter"))
    films_and_music.stop()
    stopped.append(films_and_music)
    gone = page.locator("[data-gone]")
    expect(gone).to_be_visible()
    expect(gone).to_contain_text("Your history is safe in this browser")
    Visitor(page).screenshot("server-gone")
    anew = request.getfixturevalue("server")  # that of all the other tests, begun here to save a start
    assert anew.address == films_and_music.address, "these tests come first: another server runs already"
    expect(gone).to_be_hidden(timeout=60_000)
    expect(page.locator(HISTORY)).to_have_count(11)
    page.locator(f"{HISTORY} button[data-act=remove]").first.click()
    expect(page.locator(HISTORY)).to_have_count(10)
    expect(page.locator(HISTORY).last).to_contain_text("Fargo (1996)")


def test_on_a_phone_a_tab_that_a_link_opens_is_seen_and_marked(phone: Visitor, server: Server) -> None:
    for name, label in (("experts", "Experts"), ("runs", "Runs")):
        phone.page.goto(f"{server.address}/?tab={name}")
        tab = phone.page.get_by_role("tab", name=label, selected=True)
        expect(tab).to_be_visible()
        expect(tab).to_be_in_viewport()
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    phone.screenshot("phone-tabs")
