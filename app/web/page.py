"""The page: its head, its two tabs, and the finished example that it opens with."""

import gradio as gr

from app.web import compare, recommend
from app.web.recommend import AT_ONCE, Shared
from app.web.service import Service
from app.web.theme import piece, script
from app.web.visit import Visit

NAME = "Personal experts for every viewer"
FORGET_AFTER = 4 * 3600
"""Seconds after which an idle visitor's history is dropped from memory."""
WAITING = 32
"""Most requests in the page's queue; Gradio tells the next one at once that the line is full."""
BITS = {"nf4": 4, "bf16": 16, "fp32": 32}


def build_page(service: Service) -> gr.Blocks:
    """The whole page for one service; computes the example first, so that nobody meets an empty form."""
    first = Visit()
    if service.visitors:
        case = service.visitors[0].case
        first = Visit(service.cases[case].history, case)
    first_comparison = compare.comparison(service, first)
    first_result = recommend.result(service, first)  # second: its times are then those of a warm model
    with gr.Blocks(title=NAME, analytics_enabled=False, fill_width=False, delete_cache=(3600, 3600)) as page:
        shared = Shared(visit=gr.State(first, time_to_live=FORGET_AFTER), tab=gr.State("recommend"))
        piece(_head(service), js_on_load=script("mode.js"), elem_id="head")
        with gr.Tabs():
            with gr.Tab("Recommend", id="recommend") as recommending:
                recommend.build(service, shared, first, first_result)
            with gr.Tab("Compare", id="compare") as comparing:
                compare.build(service, shared, first, first_comparison)
        for tab, name in ((recommending, "recommend"), (comparing, "compare")):
            tab.select(lambda opened=name: opened, None, shared.tab, **AT_ONCE)
    page.queue(max_size=WAITING, default_concurrency_limit=1)
    return page


def _head(service: Service) -> str:
    experts = service.recommender.num_experts
    bits = BITS[service.info.backbone.quantization]
    return (
        f'<header><div><h1>{NAME}</h1><p class="fine">A small language model, held in {bits} bits on this '
        f"machine, ranks {len(service.catalog):,} titles. {experts} trained experts are mixed anew for every "
        "history.</p></div>"
        '<button type="button" class="act mode" aria-label="Switch between light and dark" '
        f'title="Light or dark">◐</button></header>'
    )
