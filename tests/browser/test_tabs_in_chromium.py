"""Why, the mixing board, who is right, and what survives a refresh; and what axe-core thinks of all of it."""

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.axe import grave_findings
from tests.browser.people import Server, Visitor, open_tab

HISTORY = "#history ol.history li"
TABS = ("Recommend", "Mixing board", "Compare", "Experts", "Analyst", "Runs")


def _add_fargo(page: Page) -> None:
    page.locator("#search-box").press_sequentially("farg")
    expect(page.get_by_role("option").first).to_contain_text("Fargo (1996)")
    page.keyboard.press("Enter")
    expect(page.locator(HISTORY)).to_have_count(11)


def test_why_a_list_is_as_it_is_comes_by_itself_and_opens_on_a_press(visitor: Visitor) -> None:
    page = visitor.page
    telling = page.locator("#telling b").inner_text()
    summary = page.locator("#why summary")
    assert telling in summary.inner_text()
    expect(page.locator("#why .omissions")).to_be_hidden()
    summary.click()
    expect(page.locator("#why .omissions li")).to_have_count(10)
    assert telling in page.locator("#why .omissions li").first.inner_text()
    visitor.screenshot("recommend-why")
    _add_fargo(page)
    expect(page.locator("#why [data-wait]")).to_have_count(1)  # the old reasons are gone with the old list
    expect(page.locator("#why .omissions li")).to_have_count(11)
    expect(page.locator("#telling b")).not_to_be_empty()


def test_the_list_follows_the_sliders_with_old_ranks_and_presets_set_them(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Mixing board").click()
    before = page.locator("#mixed ol.ranked .title").all_inner_texts()
    assert before == page.locator("#result ol.ranked .title").all_text_contents()
    expect(page.locator("#mixed .move")).to_have_count(0)
    slider = page.get_by_role("slider").nth(2)
    slider.focus()
    page.keyboard.press("End")  # the keyboard alone moves a slider
    shares = [float(text.rstrip(" %")) for text in page.locator("#mixer output").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=2.1)
    expect(page.locator("#mixed .move")).to_have_count(10)
    expect(slider).to_be_focused()
    expect(page.locator("#mixed .was").first).to_contain_text("was")
    visitor.screenshot("mixing-moved")
    page.get_by_role("button", name="A alone").click()
    expect(page.locator("#mixed .result")).to_have_attribute("data-gate", re.compile(r"^1\.000,0\.000"))
    assert page.locator("#mixer output").all_inner_texts()[0] == "100 %"
    page.get_by_role("button", name="own mixture").click()
    expect(page.locator("#mixed .move")).to_have_count(0)
    assert page.locator("#mixed ol.ranked .title").all_inner_texts() == before


def _hold_the_first(page: Page, event: str) -> list[Route]:
    """The first such event stays on its way to the server, as on a busy machine; the list gets hold of it."""
    held: list[Route] = []

    def pass_on(route: Route) -> None:
        if event in (route.request.post_data or "") and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/queue/join**", pass_on)
    return held


def test_a_refresh_keeps_and_a_link_carries_history_adapter_and_tab(
    visitor: Visitor, browser: Browser, server: Server
) -> None:
    page = visitor.page
    _add_fargo(page)
    page.get_by_role("button", name="How the list is made").click()
    page.get_by_label("LoRA, one for all").click()
    expect(page.locator("#result .result")).to_have_attribute("data-adapter", "lora")
    titles = page.locator(f"{HISTORY} .title").all_inner_texts()
    page.get_by_role("tab", name="Mixing board").click()
    expect(page.locator("#memory [data-state]")).to_have_attribute("data-state", re.compile("mixing"))
    expect(page).to_have_url(re.compile(r"\?history=(\d+,){10}100&adapter=lora&tab=mixing$"))
    page.reload()
    expect(page.locator(HISTORY)).to_have_count(11)
    expect(page.get_by_role("tab", name="Mixing board")).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Link to this view").click()
    link = page.get_by_label("Link to this view").last.input_value()
    assert "adapter=lora" in link and "tab=mixing" in link and link.count(",") == 10
    somebody = browser.new_context()
    other = somebody.new_page()
    held = _hold_the_first(other, '"name":"open"')
    other.goto(link)
    expect(other.get_by_role("tab", name="Mixing board")).to_have_attribute("aria-selected", "true")
    other.get_by_role("tab", name="Recommend").click()
    expect(other.locator(HISTORY)).to_have_count(11)
    assert other.locator(f"{HISTORY} .title").all_inner_texts() == titles
    expect(other.locator("#result .result")).to_have_attribute("data-adapter", "lora")
    held[0].continue_()  # it was asked again; the first comes late, and takes nothing back
    other.locator(f"{HISTORY} button[data-act=remove]").last.click()
    expect(other.locator(HISTORY)).to_have_count(10)
    expect(other.get_by_role("tab", name="Recommend")).to_have_attribute("aria-selected", "true")
    expect(other).to_have_url(re.compile(r"\?history=(\d+,){9}\d+&adapter=lora&tab=recommend$"))
    other.goto(f"{server.address}/?history=100,%F0%9F%8E%AC,no-such&tab=compare")
    expect(other.locator("#said")).to_contain_text("🎬")
    expect(other.locator("#compare-history")).to_contain_text("Your history: Fargo (1996)")
    # Written after what is seen, by an event of its own.
    wanted = """kept => kept.includes('"history":["100"]')"""
    other.wait_for_function(f"Object.values(localStorage).some({wanted})")
    expect(other).to_have_url(f"{server.address}/?history=100&adapter=ilora&tab=compare")
    somebody.close()


def test_people_are_asked_before_the_visitors_eyes_and_asking_stops(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Ask people").click()
    # Not after all 200: it grows before the eyes. How far it is when it is looked at, the machine decides.
    expect(page.locator("#tally .tally")).to_have_attribute(
        "data-asked", re.compile(r"^(8|[1-9]\d|1[0-8]\d)$")
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#tally")).to_contain_text("Stopped")
    asked = page.locator("#tally .tally").get_attribute("data-asked")
    page.wait_for_timeout(1_500)  # some more people could have been asked by now
    assert page.locator("#tally .tally").get_attribute("data-asked") == asked != "200"
    assert f"Of {asked} people iLoRA alone was right" in page.locator("#tally .lead").inner_text()
    assert page.locator("#tally tbody tr").count() == 2
    visitor.screenshot("compare-tally")


def test_anybody_by_number_at_random_and_a_wrong_number(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_label("A person’s number").first.fill("1")
    page.keyboard.press("Enter")
    expect(page.locator("#history h2")).to_have_text("Visitor 1’s history")
    page.get_by_label("A person’s number").first.fill("no one")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator("#history .message")).to_contain_text("There is no person “no one”")
    page.get_by_role("button", name="Anybody").first.click()
    expect(page.locator("#history h2")).not_to_have_text("Visitor 1’s history")


@pytest.mark.parametrize("who", ["visitor", "phone_at_night"])  # both widths and both colours
def test_axe_finds_nothing_serious_on_any_tab(who: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(who).page
    page.locator("#why summary").click()
    page.get_by_role("button", name="How the list is made").click()
    found = []
    for tab in TABS:
        open_tab(page, tab)
        expect(page.get_by_role("tab", name=tab, selected=True)).to_have_count(1)
        found += [f"{tab}: {finding}" for finding in grave_findings(page)]
    assert found == []
