"""What axe-core finds on a page: rules of WCAG that a machine can check."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

SCRIPT = Path(__file__).parents[2] / ".cache" / "axe" / "axe.min.js"
GRAVE = ("serious", "critical")
LOOKS = 3


def _wait_for_rest(page: Page) -> None:
    """What is about to be drawn anew is faint for a moment, and a title under the pointer is marked."""
    page.mouse.move(0, 0)
    quiet = 0
    while quiet < 5:
        page.wait_for_timeout(300)
        quiet = 0 if page.locator(".pending").count() else quiet + 1


def grave_findings(page: Page) -> list[str]:
    """Serious and critical findings, one line each: the rule, and the first elements that break it."""
    if not SCRIPT.is_file():
        pytest.skip("axe-core is not here: `make axe` fetches it")
    for _ in range(LOOKS):
        _wait_for_rest(page)
        if not page.evaluate("'axe' in window"):
            page.evaluate(SCRIPT.read_text(encoding="utf-8"))  # in the page, past its policy on scripts
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        findings = [
            f"{violation['id']} ({violation['impact']}): "
            + " | ".join(node["html"][:160] for node in violation["nodes"][:4])
            for violation in found["violations"]
            if violation["impact"] in GRAVE
        ]
        if not findings:
            break  # else something may have been drawn anew while axe looked: what stays is found again
    return findings
