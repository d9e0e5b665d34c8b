"""The tab "Compare": base, LoRA and iLoRA on the same history and 20 titles; and what was measured."""

import secrets
from collections.abc import Iterator
from html import escape

import gradio as gr

from app.web import tally as tallying
from app.web.charts import ADAPTER_NAMES, compared_list, letter, mixture_style, percent
from app.web.history import changed, visitor_chips, whose
from app.web.measured import evaluation
from app.web.sentences import largest_move, what_came_next
from app.web.service import Service
from app.web.tab import AT_ONCE, BY_HAND, IN_TURN, Shared
from app.web.tally import Tally
from app.web.theme import piece, script
from app.web.visit import Place, Visit
from core.recommendation import AdapterName, Comparison, Recommendation
from quant.errors import IloraError

NAME, LABEL = "compare", "Compare"
COLUMNS: dict[AdapterName, str] = {
    "base": "the language model as it came, reading words only",
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
    return _board(service, visit, done)


def comparing(service: Service, visit: Visit) -> Iterator[str]:
    """The same in two steps: the trained adapters first, as Base reads every candidate's words.

    Equal to :func:`comparison` up to rounding.
    """
    trained = tuple(name for name in service.recommender.adapters if name != "base")
    if not visit.history or not trained:
        yield comparison(service, visit)
        return
    try:
        done = service.compare(visit.history, visit.case, adapters=trained)
        yield _board(service, visit, done, f"Reading {len(done.candidates)} {service.domain.many} …")
    except IloraError as error:
        yield f'<p class="problem" role="alert">{escape(str(error))}</p>'
        return
    try:
        base = service.compare(visit.history, visit.case, adapters=("base",))
    except IloraError as error:
        yield _board(service, visit, done, escape(str(error)))
        return
    yield _board(service, visit, Comparison(done.candidates, {**base.lists, **done.lists}))


def _board(service: Service, visit: Visit, done: Comparison, instead: str = "") -> str:
    """`instead` stands where a list is not there yet."""
    target = None if visit.case is None else service.cases[visit.case].target
    other = done.lists.get("lora")
    before = None if other is None else {item.index: item.rank for item in other.items}
    columns = "".join(
        _column(name, done.lists[name], target, before if name == "ilora" else None)
        if name in done.lists
        else f'{_head(name)}<p class="fine" role="status">{instead}</p></section>'
        for name in COLUMNS
        if name in service.recommender.adapters
    )
    return (
        f'<p class="lead">{_sentence(service, done, target)}</p>'
        f'<p class="fine">{_which_titles(service, done, target)}</p>'
        f'<div class="three" tabindex="0" role="region" aria-label="The lists side by side">{columns}</div>'
    )


def _sentence(service: Service, done: Comparison, target: int | None) -> str:
    if target is None or target not in done.candidates:
        return largest_move({name: listed.items for name, listed in done.lists.items()}, service.domain)
    ranks = {
        name: next(item.rank for item in listed.items if item.index == target)
        for name, listed in done.lists.items()
    }
    return what_came_next(service.catalog[target].title, ranks, len(done.candidates), service.domain)


def _which_titles(service: Service, done: Comparison, target: int | None) -> str:
    count, many = len(done.candidates), service.domain.many
    if target is None:
        origin = f"The {count} {many} are those that routing retrieves for this history"
    else:
        origin = (
            f"The {count} {many} are the evaluation’s own for this person: what came next ★ and {count - 1} "
            "drawn at random from what the person never touched"
        )
    blended = any(choice.blend_weight > 0 for choice in service.recommender.choices.values())
    mixed = (
        " LoRA and iLoRA have what the crowd’s habits say mixed in, as in every list here." if blended else ""
    )
    return f"{origin}. Probabilities are among these {count}; ▲▼ count places against LoRA.{mixed}"


def _column(
    adapter: AdapterName, done: Recommendation, target: int | None, before: dict[int, int] | None
) -> str:
    mixed = "".join(
        f"<span>{letter(expert)} {percent(weight)}</span>" for expert, weight in enumerate(done.gate)
    )
    detail = f'<span class="mixed">{mixed}</span>' if mixed else ""
    fill = mixture_style(done.gate) if done.gate else ""
    listed = compared_list(adapter, done.items, fill, target, before)
    return f'{_head(adapter)}<p class="detail">{detail}</p>{listed}</section>'


def _head(adapter: AdapterName) -> str:
    return (
        f'<section class="column" data-adapter="{adapter}">'
        f"<h2>{ADAPTER_NAMES[adapter]} <small>{COLUMNS[adapter]}</small></h2>"
    )


def history_line(service: Service, visit: Visit) -> str:
    """Whose history is compared, in one line."""
    titles = [service.catalog[index].title for index in visit.history]
    left_out = f"… {len(titles) - SHOWN_TITLES} earlier, then " if len(titles) > SHOWN_TITLES else ""
    told = " → ".join(escape(title) for title in titles[-SHOWN_TITLES:]) or "nothing yet"
    return f'<p class="fine"><b>{escape(whose(service, visit))} history:</b> {left_out}{told}</p>'


def first(service: Service, visit: Visit) -> str:
    """The comparison that the tab opens with."""
    return comparison(service, visit)


def build(service: Service, shared: Shared, visit: Visit, opens_with: str) -> None:
    """Lay out the tab and connect it."""
    chips = piece(
        visitor_chips(service, visit, "two"), js_on_load=script("acts.js"), elem_id="compare-visitors"
    )
    line = piece(history_line(service, visit), elem_id="compare-history")
    board = piece(opens_with, js_on_load=script("twins.js"), elem_id="comparison")
    piece("<h2>Who is right?</h2>", elem_id="tally-head")
    counted = piece(tallying.picture(service, Tally()), elem_id="tally")
    with gr.Row(elem_id="tally-buttons"):
        ask = gr.Button("Ask people", variant="primary", size="sm", scale=0, min_width=140)
        stop = gr.Button("Stop", size="sm", scale=0, min_width=100)
        with_base = gr.Checkbox(
            False,
            label=f"Ask Base too (reads 20 {service.domain.many} per person: many times slower)",
            container=False,
        )
    piece(
        f"<h2>Measured over everybody</h2>{evaluation(service.info.metrics, service.domain)}",
        elem_id="evaluation",
    )
    shown, tally = gr.State(visit.place), gr.State(Tally())

    def on_visitor(visit: Visit, event: gr.EventData) -> tuple[Visit, object]:
        name, value = str(event.name), str(event.value)
        if name == "random":
            name, value = "case", str(secrets.randbelow(len(service.cases)))
        after, said = changed(service, visit, name, value)
        # A changed visit is drawn by those who follow it; a mistake changes nothing, and is said here.
        return after, said + visitor_chips(service, after, "two") if said else gr.skip()

    def follow(visit: Visit) -> tuple[str, str]:
        return visitor_chips(service, visit, "two"), history_line(service, visit)

    def refresh(visit: Visit, tab: str, seen: Place) -> Iterator[tuple[object, object]]:
        if tab != NAME or seen == visit.place:
            yield gr.skip(), gr.skip()
            return
        for step in comparing(service, visit):
            yield step, gr.skip()
        yield gr.skip(), visit.place

    def count(before: Tally, base: bool) -> Iterator[tuple[str, Tally]]:
        adapters: tuple[AdapterName, ...] = ("lora", "ilora", "base") if base else ("lora", "ilora")
        present = tuple(name for name in adapters if name in service.recommender.adapters)
        done = before
        yield tallying.picture(service, done, "Asking…"), done
        try:
            for done in tallying.asking(service, before, present):
                yield tallying.picture(service, done, "Asking… Stop when you have seen enough."), done
        except IloraError as error:
            yield tallying.picture(service, done, escape(str(error))), done
            return
        yield tallying.picture(service, done, "Press again to ask more people."), done

    chips.act(on_visitor, shared.visit, [shared.visit, chips], **BY_HAND)
    shared.visit.change(follow, shared.visit, [chips, line], **AT_ONCE)
    gr.on(
        [shared.visit.change, shared.tab.change],
        refresh,
        [shared.visit, shared.tab, shown],
        [board, shown],
        **IN_TURN,
    )
    run = ask.click(
        count,
        [tally, with_base],
        [counted, tally],
        concurrency_id="tally",
        concurrency_limit=2,
        show_progress="hidden",
        api_visibility="private",
    )
    # In two steps: in one, Gradio would cancel only when the word is there, and more could come in between.
    stop.click(None, cancels=[run], queue=False).then(
        lambda done: tallying.picture(service, done, "Stopped. Press again to go on."),
        tally,
        counted,
        **AT_ONCE,
    )
