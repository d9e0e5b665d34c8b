"""The tab "Compare": base, LoRA and iLoRA on the same history and 20 titles; and what was measured."""

from html import escape

import gradio as gr

from app.web.charts import ADAPTER_NAMES, compared_list, letter, mixture_style, percent
from app.web.measured import evaluation
from app.web.recommend import AT_ONCE, Shared, changed, visitor_chips, whose
from app.web.sentences import largest_move, what_came_next
from app.web.service import Service
from app.web.theme import piece, script
from app.web.visit import Visit
from core.recommendation import AdapterName, Recommendation
from core.recommender import Comparison
from quant.errors import IloraError

COLUMNS: dict[AdapterName, str] = {
    "base": "the language model as it came, reading titles",
    "lora": "trained once, the same for everybody",
    "ilora": "trained experts, mixed for this history",
}
SHOWN_TITLES = 10


def comparison(service: Service, visit: Visit) -> str:
    """The sentence and the three lists, as HTML."""
    try:
        done = service.compare(visit.history, visit.case)
    except IloraError as error:
        return f'<p class="problem" role="alert">{escape(str(error))}</p>'
    target = None if visit.case is None else service.cases[visit.case].target
    before = {item.index: item.rank for item in done.lists["lora"].items}
    columns = "".join(
        _column(name, done.lists[name], target, before if name == "ilora" else None)
        for name in COLUMNS
        if name in done.lists
    )
    return (
        f'<p class="lead">{_sentence(service, done, target)}</p>'
        f'<p class="fine">{_which_titles(service, done, target)}</p>'
        f'<div class="three">{columns}</div>'
    )


def _sentence(service: Service, done: Comparison, target: int | None) -> str:
    if target is None or target not in done.candidates:
        return largest_move({name: listed.items for name, listed in done.lists.items()})
    ranks = {
        name: next(item.rank for item in listed.items if item.index == target)
        for name, listed in done.lists.items()
    }
    return what_came_next(service.catalog[target].title, ranks, len(done.candidates))


def _which_titles(service: Service, done: Comparison, target: int | None) -> str:
    count = len(done.candidates)
    if target is None:
        origin = f"The {count} titles are those that routing retrieves for this history"
    else:
        origin = (
            f"The {count} titles are the evaluation’s own for this person: what came next ★ and {count - 1} "
            "drawn at random from what the person never touched"
        )
    blended = any(choice.blend_weight > 0 for choice in service.recommender.choices.values())
    mixed = " LoRA and iLoRA have the router’s own scores mixed in, as in every list here." if blended else ""
    return f"{origin}. Probabilities are among these {count}; ▲▼ count places against LoRA.{mixed}"


def _column(
    adapter: AdapterName, done: Recommendation, target: int | None, before: dict[int, int] | None
) -> str:
    mixed = "".join(
        f"<span>{letter(expert)} {percent(weight)}</span>" for expert, weight in enumerate(done.gate)
    )
    detail = f'<span class="mixed">{mixed}</span>' if mixed else ""
    fill = mixture_style(done.gate) if done.gate else ""
    return (
        f'<section class="column" data-adapter="{adapter}">'
        f"<h3>{ADAPTER_NAMES[adapter]} <small>{COLUMNS[adapter]}</small></h3>"
        f'<p class="detail">{detail}</p>{compared_list(adapter, done.items, fill, target, before)}</section>'
    )


def history_line(service: Service, visit: Visit) -> str:
    """Whose history is compared, in one line."""
    titles = [service.catalog[index].title for index in visit.history]
    left_out = f"… {len(titles) - SHOWN_TITLES} earlier, then " if len(titles) > SHOWN_TITLES else ""
    told = " → ".join(escape(title) for title in titles[-SHOWN_TITLES:]) or "nothing yet"
    return f'<p class="fine"><b>{escape(whose(service, visit))} history:</b> {left_out}{told}</p>'


def build(service: Service, shared: Shared, first: Visit, first_comparison: str) -> None:
    """Lay out the tab and connect it."""
    chips = piece(visitor_chips(service, first), js_on_load=script("acts.js"), elem_id="compare-visitors")
    line = piece(history_line(service, first), elem_id="compare-history")
    board = piece(first_comparison, js_on_load=script("twins.js"), elem_id="comparison")
    piece(f"<h2>Measured over everybody</h2>{evaluation(service.info.metrics.rows)}", elem_id="evaluation")
    shown = gr.State(first)

    def on_visitor(visit: Visit, event: gr.EventData) -> Visit:
        return changed(service, visit, str(event.name), str(event.value))[0]

    def follow(visit: Visit) -> tuple[str, str]:
        return visitor_chips(service, visit), history_line(service, visit)

    def refresh(visit: Visit, tab: str, seen: Visit) -> tuple[object, object]:
        if tab != "compare" or seen == visit:
            return gr.skip(), gr.skip()
        return comparison(service, visit), visit

    chips.act(on_visitor, shared.visit, shared.visit, **AT_ONCE)
    shared.visit.change(follow, shared.visit, [chips, line], **AT_ONCE)
    gr.on(
        [shared.visit.change, shared.tab.change],
        refresh,
        [shared.visit, shared.tab, shown],
        [board, shown],
        concurrency_id="model",
        concurrency_limit=1,
        trigger_mode="always_last",
        show_progress="minimal",
        api_visibility="private",
    )
