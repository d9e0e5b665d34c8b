"""What every tab of the page gets, and how its events go through the queue.

A tab is one file with a `NAME`, a `LABEL`, `first(service, visit)`: what it opens with, computed before
anybody comes, and `build(service, shared, visit, opens_with)`: its layout and its events.
`app.web.page` lists them.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

BY_HAND: dict[str, Any] = {
    "concurrency_id": "hand",
    "concurrency_limit": 1,
    "trigger_mode": "multiple",
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""For what a visitor presses: of two quick presses none is dropped, the second sees what the first did."""
AT_ONCE: dict[str, Any] = {
    "concurrency_limit": 8,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""For what follows a change and needs no model. Through the queue all the same: only there a changed state
tells its followers."""
IN_TURN: dict[str, Any] = {
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "trigger_mode": "always_last",
    "show_progress": "minimal",
    "api_visibility": "private",
}
"""For what asks the model: one after the other, and of one visitor's quick changes only the last."""


@dataclass(frozen=True)
class Shared:
    """Components that all tabs use.

    Attributes:
        visit: the visitor's own state; nothing else on the server knows his history.
        tab: which tab is open, so that only what is seen is computed.
        adapter: whose list the visitor looks at.
        tabs: the row of tabs, to open another one.
    """

    visit: gr.State
    tab: gr.State
    adapter: gr.State
    tabs: gr.Tabs
