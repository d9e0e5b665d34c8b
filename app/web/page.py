"""The page: its head, its tabs, what survives a refresh, and the finished example that it opens with."""

from functools import partial
from html import escape
from types import ModuleType
from urllib.parse import quote

import gradio as gr

from app.web import analyst, compare, experts, memory, mixing, recommend, runs
from app.web.endpoints import add_endpoints
from app.web.service import Service
from app.web.shelf import Shelf
from app.web.tab import AT_ONCE, BY_HAND, Shared
from app.web.theme import piece, script
from app.web.visit import Visit

TABS: tuple[ModuleType, ...] = (recommend, mixing, compare, experts, analyst, runs)
"""In the order of the page. What each file has to offer is said in `app.web.tab`."""
NAMES = tuple(tab.NAME for tab in TABS)
FORGET_AFTER = 4 * 3600
"""Seconds after which an idle visitor's history is dropped from memory."""
WAITING = 32
"""Most requests in the page's queue; Gradio tells the next one at once that the line is full."""
BITS = {"nf4": 4, "bf16": 16, "fp32": 32}

PRESSED = "(_, newest) => [performance.now(), newest]"
"""When a tab was pressed, in milliseconds since the page began, as the browser counts them."""


def heading(service: Service) -> str:
    """What the page is called."""
    return f"Personal experts for every {service.domain.person}"


def build_page(service: Service, shelf: Shelf, waiting: int = WAITING) -> gr.Blocks:
    """The whole page for one service of a shelf; computes the example first: nobody meets an empty form."""
    visit = Visit()
    if service.visitors:
        case = service.visitors[0].case
        visit = Visit(service.cases[case].history, case)
    opens_with = {
        tab.NAME: tab.first(service, visit) for tab in reversed(TABS)
    }  # the first one on a warm model
    with gr.Blocks(
        title=heading(service), analytics_enabled=False, fill_width=False, delete_cache=(3600, 3600)
    ) as page:
        add_endpoints(shelf, service.info.name)  # first, so that no function of a tab takes their names
        state, opened = gr.State(visit, time_to_live=FORGET_AFTER), gr.State(NAMES[0])
        adapter = gr.State(service.recommender.best_adapter)
        piece(_head(service, shelf), js_on_load=script("mode.js"), elem_id="head")
        said = piece("", elem_id="said")
        now, newest = gr.Number(visible=False), gr.State(0.0, time_to_live=FORGET_AFTER)
        with gr.Tabs(selected=NAMES[0], overflow_behavior="wrap") as tabs:
            shared = Shared(visit=state, tab=opened, adapter=adapter, tabs=tabs)
            for tab in TABS:
                with gr.Tab(tab.LABEL, id=tab.NAME) as opening:
                    tab.build(service, shared, visit, opens_with[tab.NAME])
                opening.select(
                    partial(_newest, tab.NAME), [now, newest], [shared.tab, newest], js=PRESSED, **BY_HAND
                )
        _remember(service, shared, visit, said)
    page.queue(max_size=waiting, default_concurrency_limit=1)
    return page


def _newest(name: str, pressed: float, newest: float) -> tuple[object, ...]:
    """The tab that is open, and when it was pressed. Requests overtake one another on a busy machine, and
    Gradio tells of the first tab by itself while a page begins: the later press counts, not the later
    request.
    """
    return (name, pressed) if pressed > newest else (gr.skip(), gr.skip())


def _remember(service: Service, shared: Shared, visit: Visit, said: gr.HTML) -> None:
    """Keep the visitor's state in his browser, and open the page as it was left or as a link says."""
    foot = piece(
        memory.memory(service, visit, service.recommender.best_adapter, NAMES[0]),
        js_on_load=script("memory.js"),
        elem_id="memory",
    )

    def keep(visit: Visit, adapter: str, tab: str) -> str:
        return memory.memory(service, visit, adapter, tab)

    # The browser asks again while it has no answer; one that comes late must take back nothing done since.
    done = gr.State(False, time_to_live=FORGET_AFTER)

    def open_again(done: bool, event: gr.EventData) -> tuple[object, ...]:
        opened = None if done else memory.opened(service, str(event.value), NAMES)
        if opened is None:
            return (gr.skip(),) * 6
        visit = gr.skip() if opened.visit is None else opened.visit
        return True, visit, opened.adapter, opened.tab, gr.update(selected=opened.tab), opened.said

    results = [done, shared.visit, shared.adapter, shared.tab, shared.tabs, said]
    foot.act(open_again, done, results, **BY_HAND)
    gr.on(
        [shared.visit.change, shared.adapter.change, shared.tab.change],
        keep,
        [shared.visit, shared.adapter, shared.tab],
        foot,
        **AT_ONCE,
    )


def _head(service: Service, shelf: Shelf) -> str:
    experts = service.recommender.num_experts
    bits = BITS[service.info.backbone.quantization]
    root = "" if service.info.name == shelf.offers[0].name else "../../"
    return (
        f'<header data-root="{root}"><div><h1>{heading(service)}</h1><p class="fine">A small language model, '
        f"held in {bits} bits on this machine, ranks {len(service.catalog):,} {service.domain.many}. "
        f"{experts} trained experts are mixed anew for every history.</p>"
        f"{_datasets(service.info.name, shelf, root)}</div>"
        '<button type="button" class="act mode" aria-label="Switch between light and dark" '
        f'title="Light or dark">◐</button></header>'
    )


def _datasets(here: str, shelf: Shelf, root: str) -> str:
    """The switch between data sets: links, as each has a page of its own; memory.js adds tab and adapter."""
    if len(shelf.offers) == 1:
        return ""
    kinds = [offer.kinds for offer in shelf.offers]
    links = "".join(
        f'<a class="act chip" href="{(root or "./") if place == 0 else f"{root}data/{quote(offer.name)}/"}"'
        f"{' aria-current=page' if offer.name == here else ''}>{escape(offer.kinds)}"
        f"{f' <small>{escape(offer.name)}</small>' if kinds.count(offer.kinds) > 1 else ''}</a>"
        for place, offer in enumerate(shelf.offers)
    )
    return f'<nav class="chips datasets" aria-label="Data set">{links}</nav>'
