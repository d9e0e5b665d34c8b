"""Who takes part in a browser test: a running server, and a person with a fresh profile."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

from tests.running_server import Server

__all__ = ["Server", "Visitor", "open_tab"]

SCREENSHOTS = Path(__file__).parent / "screenshots"


def open_tab(page: Page, name: str) -> None:
    """Press a tab; on a phone some stand behind the three dots."""
    tab = page.get_by_role("tab", name=name)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
        return
    page.locator(".overflow-menu button").first.click()
    page.locator(".overflow-dropdown button", has_text=name).click()


@dataclass
class Visitor:
    """One person with a fresh profile: the page, and all it asked for and complained of."""

    page: Page
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def screenshot(self, name: str) -> None:
        """Keep a picture of the whole page, to be looked at, if ILORA_SCREENSHOTS is set (it takes time)."""
        if not os.environ.get("ILORA_SCREENSHOTS"):
            return
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
