"""The page as people use it: real server, real model, real Chromium without any network but this server."""

import json
import re
import urllib.request
from urllib.parse import urlsplit

import psutil
from playwright.sync_api import Page, expect

from tests.browser.people import Server, Visitor

HISTORY = "#history ol.history li"
RANKED = "#result ol.ranked li"


def _titles(page: Page) -> list[str]:
    return page.locator(f"{HISTORY} .title").all_inner_texts()


def _redrawn(page: Page, before: str) -> None:
    """Wait until another list than `before` stands on the right, and the page is at rest."""
    expect(page.locator("#result .result")).not_to_have_attribute("data-history", before)
    expect(page.locator("#result .pending")).to_have_count(0)


def _shown(page: Page) -> str:
    return page.locator("#result .result").get_attribute("data-history") or ""


def test_the_first_screen_is_a_finished_example(visitor: Visitor) -> None:
    page = visitor.page
    expect(page.locator(HISTORY)).to_have_count(10)
    expect(page.locator(RANKED)).to_have_count(10)
    expect(page.locator("#result .lead")).to_contain_text("history")
    assert page.locator("#result .expert").count() >= 2
    expect(page.locator("#result .timings")).to_contain_text("routing")
    visitor.screenshot("recommend-first-screen")


def test_type_pick_and_see_the_list_and_the_bars_change(visitor: Visitor) -> None:
    page, before = visitor.page, _shown(visitor.page)
    bars = page.locator("#result .expert .number").all_inner_texts()
    page.locator("#search-box").press_sequentially("farg")
    expect(page.get_by_role("option").first).to_contain_text("Fargo (1996)")
    visitor.screenshot("recommend-search")
    page.get_by_role("option", name="Fargo (1996)").click()
    expect(page.locator(HISTORY)).to_have_count(11)
    assert _titles(page)[-1] == "Fargo (1996)"
    expect(page.locator("#search-box")).to_have_value("")
    _redrawn(page, before)
    assert page.locator("#result .expert .number").all_inner_texts() != bars
    expect(page.locator("#history h2")).to_have_text("Your history")
    visitor.screenshot("recommend-after-picking")


def test_the_keyboard_alone_reaches_a_result_within_twelve_presses(visitor: Visitor) -> None:
    page, before, presses = visitor.page, _shown(visitor.page), 0
    while page.evaluate("document.activeElement.id") != "search-box":
        page.keyboard.press("Tab")
        presses += 1
        assert presses < 12
    for key in "jaw":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    _redrawn(page, before)
    assert _titles(page)[-1] == "Jaws (1975)"
    assert presses + len("jaw") + 1 <= 12


def test_arrows_choose_among_the_titles_found_and_escape_closes(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#search-box").press_sequentially("star trek")
    expect(page.get_by_role("option").nth(2)).to_be_visible()
    second = page.get_by_role("option").nth(1).locator("span").inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(0)
    page.locator("#search-box").press_sequentially(" ")
    page.locator("#search-box").press("Backspace")
    expect(page.get_by_role("option").nth(2)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(HISTORY).filter(has_text=second)).not_to_have_count(0)


def test_remove_move_and_undo_change_history_and_list(visitor: Visitor) -> None:
    page, before, titles = visitor.page, _shown(visitor.page), _titles(visitor.page)
    page.get_by_role("button", name=f"Move {titles[0]} later").click()
    expect(page.locator(f"{HISTORY} .title").first).to_have_text(titles[1])
    assert _titles(page)[:2] == [titles[1], titles[0]]
    _redrawn(page, before)
    before = _shown(page)
    page.get_by_role("button", name=f"Remove {titles[5]}", exact=True).click()
    expect(page.locator(HISTORY)).to_have_count(9)
    assert titles[5] not in _titles(page)
    _redrawn(page, before)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(HISTORY)).to_have_count(10)
    assert titles[5] in _titles(page)
    page.get_by_role("button", name="Redo").click()
    expect(page.locator(HISTORY)).to_have_count(9)


def test_the_keyboard_keeps_its_place_when_the_history_is_redrawn(visitor: Visitor) -> None:
    page, titles = visitor.page, _titles(visitor.page)
    button = page.get_by_role("button", name=f"Move {titles[1]} later")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(f"{HISTORY} .title").nth(2)).to_have_text(titles[1])
    expect(page.get_by_role("button", name=f"Move {titles[1]} later")).to_be_focused()


def test_an_unknown_title_offers_the_closest_and_one_click_takes_it(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#search-box").press_sequentially("Farrgo")
    page.keyboard.press("Enter")
    message = page.locator("#history .message")
    expect(message).to_contain_text("There is no “Farrgo” here")
    expect(message.get_by_role("button")).to_have_count(3)
    visitor.screenshot("recommend-unknown-title")
    message.get_by_role("button", name="Add Fargo (1996)").click()
    expect(page.locator(HISTORY)).to_have_count(11)
    assert _titles(page)[-1] == "Fargo (1996)"


def test_a_hostile_title_in_the_search_box_stays_text(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#search-box").fill("<img src=x onerror=\"document.title='broken'\">")
    page.locator("#search-box").press("Enter")
    expect(page.locator("#history .message")).to_contain_text("<img src=x")
    expect(page).not_to_have_title("broken")
    assert page.locator("#history img").count() == 0


def test_a_pasted_list_becomes_the_history(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("button", name="Empty the history").click()
    expect(page.locator(HISTORY)).to_have_count(0)
    expect(page.locator("#result .lead")).to_contain_text("most watched")
    page.get_by_role("button", name="Paste a list of titles").click()
    page.locator("#paste textarea").fill("Fargo\nHeat (1995)\n3. L.A. Confidential")
    page.get_by_role("button", name="Add these titles").click()
    expect(page.locator(HISTORY)).to_have_count(3)
    expect(page.locator("#result .lead")).to_contain_text("Your history")


def test_a_recommended_title_joins_the_history_by_one_click(visitor: Visitor) -> None:
    page, before = visitor.page, _shown(visitor.page)
    first = page.locator(f"{RANKED} .title").first.inner_text()
    page.locator(RANKED).first.get_by_role("button").click()
    _redrawn(page, before)
    assert _titles(page)[-1] == first
    assert first not in page.locator(f"{RANKED} .title").all_inner_texts()


def test_another_visitor_is_one_click_away(visitor: Visitor) -> None:
    page, before, titles = visitor.page, _shown(visitor.page), _titles(visitor.page)
    page.locator("#visitors .chip").nth(1).click()
    expect(page.locator("#visitors .chip").nth(1)).to_have_attribute("aria-pressed", "true")
    _redrawn(page, before)
    assert _titles(page) != titles


def test_two_visitors_do_not_see_each_other(visitor: Visitor, night: Visitor) -> None:
    titles = _titles(night.page)
    visitor.page.get_by_role("button", name="Empty the history").click()
    expect(visitor.page.locator(HISTORY)).to_have_count(0)
    night.page.get_by_role("button", name=f"Move {titles[0]} later").click()
    expect(night.page.locator(f"{HISTORY} .title").first).to_have_text(titles[1])
    assert sorted(_titles(night.page)) == sorted(titles)


def test_compare_shows_three_orders_of_the_same_titles_with_moves(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    columns = page.locator("#comparison .column")
    expect(columns).to_have_count(3)
    names = [set(columns.nth(i).locator(".title").all_inner_texts()) for i in range(3)]
    assert names[0] == names[1] == names[2] and len(names[0]) == 20
    expect(columns.nth(2).locator(".move")).to_have_count(20)
    assert columns.locator(".star").count() == 3
    expect(page.locator("#comparison .lead")).to_contain_text("really watched")
    visitor.screenshot("compare-visitor")


def test_compare_follows_the_history_of_the_other_tab(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#search-box").press_sequentially("farg")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(HISTORY)).to_have_count(11)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare-history")).to_contain_text("Fargo (1996)")
    expect(page.locator("#comparison")).to_contain_text("routing retrieves")
    expect(page.locator("#comparison .star")).to_have_count(0)
    visitor.screenshot("compare-own-history")


def test_the_measured_numbers_are_those_of_the_bundle(visitor: Visitor) -> None:
    visitor.page.get_by_role("tab", name="Compare").click()
    expect(visitor.page.locator("#evaluation")).to_be_visible()
    text = visitor.page.locator("#evaluation").inner_text()
    assert "95 % interval" in text or "carries no evaluation" in text


def test_dark_is_dark_and_stays_dark(visitor: Visitor, night: Visitor) -> None:
    assert _brightness(night.page) < 60
    night.screenshot("recommend-dark")
    night.page.get_by_role("tab", name="Compare").click()
    expect(night.page.locator("#comparison .column")).to_have_count(3)
    night.screenshot("compare-dark")
    assert _brightness(visitor.page) > 200
    visitor.page.get_by_role("button", name="Switch between light and dark").click()
    assert _brightness(visitor.page) < 60
    visitor.page.reload()
    visitor.page.locator(RANKED).first.wait_for()
    assert _brightness(visitor.page) < 60


def _brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    channels = [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]
    return sum(channels) / 3


def test_a_phone_needs_no_sideways_scrolling_and_can_order_the_history(phone: Visitor) -> None:
    page = phone.page
    for tab, shown in (("Recommend", "#result"), ("Mixing board", "#mixed"), ("Compare", "#comparison")):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(shown)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        phone.screenshot(f"phone-{tab.split()[0].lower()}")
    page.get_by_role("tab", name="Recommend").click()
    titles = _titles(page)
    later = page.get_by_role("button", name=f"Move {titles[0]} later")
    expect(later).to_be_hidden()
    page.get_by_role("button", name="Order").click()
    later.click()
    expect(page.locator(f"{HISTORY} .title").first).to_have_text(titles[1])
    expect(later).to_be_visible()  # the history was drawn anew, and is still being ordered


def test_nothing_is_asked_of_another_host_and_nothing_complains(visitor: Visitor, server: Server) -> None:
    page = visitor.page
    page.locator("#visitors .chip").nth(2).click()
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#comparison .column")).to_have_count(3)
    here = urlsplit(server.address).netloc
    foreign = [url for url in visitor.requested if urlsplit(url).netloc not in (here, "")]
    assert len(visitor.requested) > 10
    assert foreign == []
    # A foreign font or script would be said here even where the policy stops it before it is asked for.
    assert visitor.complaints == []


def test_the_server_stays_below_two_gigabytes(visitor: Visitor, server: Server) -> None:
    _ = visitor
    assert psutil.Process(server.process.pid).memory_info().rss < 2e9


def test_the_server_names_its_steps_and_is_ready_when_it_answers(server: Server) -> None:
    said = "".join(server.said)
    for step in ("Checking the bundle", "Describing the experts", "Ready"):
        assert step in said
    with urllib.request.urlopen(f"{server.address}/health") as answer:
        assert json.load(answer)["status"] == "ok"
