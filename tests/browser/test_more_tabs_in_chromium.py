"""Experts, Analyst and Runs as people use them: one long visit per tab, as a page load is dear."""

import csv
import re
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from exports.bundle_check import read_info
from exports.bundle_info import DEFAULT_BUNDLE
from tests.browser.people import Visitor, open_tab


def _upload(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file of histories").click()
    chooser.value.set_files(file)


def test_the_map_of_people_is_walked_by_keyboard_and_opens_a_person_in_compare(visitor: Visitor) -> None:
    page = visitor.page
    assert page.locator("#people-map use").count() == 0  # the longest piece waits until it is wanted
    page.get_by_role("tab", name="Experts").click()
    marks = page.locator("#people-map use")
    expect(marks.first).to_be_visible()
    assert marks.count() > 900
    assert len(set(marks.evaluate_all("all => all.map(m => m.getAttribute('href'))"))) >= 2
    expect(page.locator("#expert-legend .lead")).to_contain_text("equal experts")
    assert page.locator("#expert-heat section").count() == 2
    experts = read_info(DEFAULT_BUNDLE).adapters["ilora"].num_experts
    assert page.locator("#expert-heat section").first.locator("tbody tr").count() == experts
    visitor.screenshot("experts")
    page.locator("#people-map .map").focus()
    who = page.locator("#people-map .who")
    page.keyboard.press("ArrowRight")
    expect(who).to_contain_text("→")
    for key in ("ArrowRight", "ArrowUp"):  # each is answered before the next
        before = who.inner_text()
        page.keyboard.press(key)
        expect(who).not_to_have_text(before)
    found = re.match(r"Person (\S+) ", who.inner_text())
    assert found is not None
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#compare-history")).to_contain_text(f"Visitor {found[1]}’s history")
    assert visitor.complaints == []


def test_a_file_of_histories_becomes_a_table_and_a_run_can_be_stopped(
    visitor: Visitor, tmp_path: Path
) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Analyst").click()
    expect(page.get_by_role("button", name="Make the lists")).to_be_disabled()
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("colour,size\nred,3\n", encoding="utf-8")
    _upload(page, wrong)
    expect(page.locator("#batch-report .message")).to_contain_text("no column looks like the")
    assert str(tmp_path) not in page.locator("#batch-report").inner_text()
    rows = [
        '=bob(),"Star Wars (1977)|Farrgo"',
        "nobody,🎬",
        *(f'u{n},"{50 + n} {100 + n}"' for n in range(30)),
    ]
    file = tmp_path / "histories.csv"
    file.write_text("user,history\n" + "\n".join(rows) + "\n", encoding="utf-8")
    _upload(page, file)
    expect(page.locator("#batch-report .lead")).to_contain_text("32 rows read, 32 people")
    expect(page.locator("#batch-report tbody")).to_contain_text("Fargo (1996)")
    page.get_by_role("button", name="Make the lists").click()
    expect(page.locator("#batch-running progress")).to_have_attribute("value", re.compile("[1-9]"))
    page.get_by_role("button", name="Stop", exact=True).last.click()
    expect(page.locator("#batch-running")).to_contain_text("Stopped")
    page.get_by_role("button", name="Make the lists").click()
    expect(page.locator("#batch-table .lead")).to_contain_text("share", timeout=120_000)
    expect(page.locator("#batch-table tbody tr")).to_have_count(12)
    visitor.screenshot("analyst")
    with page.expect_download() as download:
        page.locator("#batch-downloads").get_by_text("Download CSV").click()
    with open(download.value.path(), encoding="utf-8", newline="") as text:
        table = list(csv.DictReader(text))
    assert len(table) == 32 and table[0]["user"] == "'=bob()" and table[1]["note"]
    assert visitor.complaints == []


def test_training_runs_are_listed_with_curves_and_the_command_that_uses_them(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator("#run-list tbody tr")).to_have_count(2)
    page.get_by_role("button", name="demo-ilora").click()
    detail = page.locator("#run-detail")
    expect(detail.locator("h2")).to_have_text("demo-ilora")
    expect(detail.locator("figure.curve svg")).to_have_count(4)
    expect(detail).to_contain_text("The gate ignores its input")
    expect(detail.locator(".next")).to_contain_text("ilora bundle --ilora")
    detail.locator("summary").click()
    page.wait_for_timeout(6_000)  # the clock has looked again: nothing changed, so nothing was redrawn
    expect(detail.get_by_text("optimizer.batch_size")).to_be_visible()
    visitor.screenshot("runs")
    assert visitor.complaints == []


def test_of_two_presses_the_later_counts_even_where_the_earlier_arrives_later(visitor: Visitor) -> None:
    page = visitor.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        asked = route.request.post_data_json or {}
        of_tab = (asked.get("event_data") or {}).get("value") == "Experts"
        held.append(route) if of_tab and not held else route.continue_()

    page.route("**/queue/join*", hold)
    page.get_by_role("tab", name="Experts").click()
    page.get_by_role("tab", name="Runs").click()
    expect(page).to_have_url(re.compile("tab=runs"))
    expect(page.locator("#run-list tbody tr")).to_have_count(2)
    [late] = held
    with page.expect_response("**/queue/join*") as answered:
        late.continue_()
    assert answered.value.ok
    page.wait_for_timeout(2_000)
    assert "tab=runs" in page.url
    assert visitor.complaints == []


def test_the_new_tabs_fit_a_phone(phone: Visitor) -> None:
    page = phone.page
    for name, piece in (("Experts", "#expert-legend"), ("Analyst", "#batch-report"), ("Runs", "#run-detail")):
        open_tab(page, name)
        expect(page.locator(piece)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        phone.screenshot(f"{name.lower()}-phone")
