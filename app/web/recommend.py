"""The tab "Recommend": a history on the left; on the right the list, its experts, why, and the time."""

import secrets
from dataclasses import dataclass
from html import escape

import gradio as gr

from app.web import why
from app.web.charts import ADAPTER_NAMES, expert_bars, milliseconds, mixture_style, percent, ranked_list
from app.web.history import changed, history_list, pasted, visitor_chips
from app.web.sentences import leaning
from app.web.service import Service
from app.web.tab import AT_ONCE, BY_HAND, IN_TURN, Shared
from app.web.theme import piece, script
from app.web.visit import Place, Visit
from core.domain import Domain
from core.explanation import Explanation
from core.recommendation import AdapterName, Recommendation
from quant.errors import IloraError

NAME, LABEL = "recommend", "Recommend"
TOP = 10
CHOICES = {"iLoRA, yours": "ilora", "LoRA, one for all": "lora", "Base, untrained": "base"}


def search_box(domain: Domain) -> str:
    """Where a visitor types; search.js does the rest."""
    return (
        f'<label class="caption" for="search-box">Add {domain.a_one} to the history</label>'
        '<div class="search"><input id="search-box" type="text" role="combobox" autocomplete="off" '
        'spellcheck="false" maxlength="200" aria-expanded="false" aria-controls="search-found" '
        'aria-autocomplete="list" placeholder="Type a few letters…"><ul id="search-found" role="listbox" '
        f'aria-label="{domain.many.capitalize()} found" hidden></ul></div>'
    )


@dataclass(frozen=True)
class Asked:
    """What a list depends on."""

    place: Place
    adapter: AdapterName = "ilora"
    rerank: bool = False
    new: bool = True


def result(service: Service, visit: Visit, asked: Asked | None = None) -> str:
    """The right-hand side: sentence, experts, list, what the numbers mean, and where the time went."""
    asked = asked or Asked(visit.place, service.recommender.best_adapter)
    try:
        done = _recommend(service, visit, asked)
    except IloraError as error:
        return f'<div class="result"><p class="problem" role="alert">{escape(str(error))}</p></div>'
    target = None if visit.case is None else service.cases[visit.case].target
    owner = "Your history" if visit.case is None else "This visitor’s history"
    experts = expert_bars(done.gate, service.portraits) if done.gate else ""
    fill = mixture_style(done.gate) if done.gate else ""
    return (
        f'<div class="result" data-adapter="{done.adapter}" data-stage="{done.stage}" '
        f'data-history="{"-".join(map(str, visit.history))}"><h2 class="heard">The list</h2>'
        f'<p class="lead">{leaning(done, service.portraits, owner, service.domain)}</p>{experts}'
        f"{ranked_list(done.items[:TOP], service.catalog.items, fill, target)}"
        f'<p class="fine">{_meaning(done, service.domain)}</p>{_next_title(service, done, target)}'
        f"{_notes(done)}{_timings(done)}</div>"
    )


def _recommend(service: Service, visit: Visit, asked: Asked) -> Recommendation:
    # A held-out person's next title may stand anywhere, so the whole order is asked for.
    everything = visit.case is not None and not asked.rerank and asked.adapter != "base"
    k = len(service.catalog) - (len(visit.history) if asked.new else 0) if everything else TOP
    return service.recommend(
        visit.history, k=k, adapter=asked.adapter, rerank=asked.rerank, exclude_seen=asked.new
    )


def _meaning(done: Recommendation, domain: Domain) -> str:
    kind = f"Share of everything {domain.done}" if done.stage == "popular" else "Probability"
    longest = max((item.probability for item in done.items), default=0.0)
    ranked = f"{kind} among the {done.ranked:,} {domain.many} ranked"
    return f"{ranked}; bars are drawn against the highest, {percent(longest)}."


def _next_title(service: Service, done: Recommendation, target: int | None) -> str:
    rank = next((item.rank for item in done.items if item.index == target), None)
    if target is None or rank is None:
        return ""
    title = escape(service.catalog[target].title)
    done_next = f"What was really {service.domain.done} next"
    return f'<p class="fine">★ {done_next}: <b>{title}</b>, rank {rank:,} here.</p>'


def _notes(done: Recommendation) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in done.notes)


def _timings(done: Recommendation) -> str:
    steps = ("routing", "retrieval", "ranking")
    told = " · ".join(
        f"{step} {milliseconds(done.timings_ms[step])}" for step in steps if step in done.timings_ms
    )
    return f'<p class="fine timings" title="Measured on this server for this list">{told}</p>'


def explanation(service: Service, asked: Asked) -> Explanation | None:
    """What mattered for a list; None where there is nothing to leave out. Raises Busy."""
    history = asked.place[0]
    if not history or asked.adapter == "base":
        return None
    return service.explain(history, k=TOP, adapter=asked.adapter, exclude_seen=asked.new)


@dataclass(frozen=True)
class First:
    """What the tab opens with."""

    result: str
    why: str
    telling: str


def first(service: Service, visit: Visit) -> First:
    """The finished example: list and explanation."""
    done = explanation(service, Asked(visit.place, service.recommender.best_adapter))
    shown = result(service, visit)  # second: its times are then those of a warm model
    panel = why.NOTHING if done is None else why.why(service, done)
    return First(shown, panel, why.most_telling(service, done))


def build(service: Service, shared: Shared, visit: Visit, opens_with: First) -> None:
    """Lay out the tab and connect it."""

    def find_titles(query: str) -> dict[str, object]:
        found = service.search(str(query))
        items = [
            {"index": item.index, "title": item.title, "genres": " · ".join(item.genres)}
            for item in found.items
        ]
        return {"items": items, "literal": found.literal}

    acts, domain = script("acts.js"), service.domain
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=2, min_width=320, elem_classes="side"):
            search = piece(
                search_box(domain),
                js_on_load=script("search.js"),
                server_functions=[find_titles],
                elem_id="search",
            )
            visitors = piece(visitor_chips(service, visit, "one"), js_on_load=acts, elem_id="visitors")
            history = piece(history_list(service, visit), js_on_load=acts, elem_id="history")
            telling = piece(opens_with.telling, elem_id="telling")
            with gr.Accordion(f"Paste a list of {domain.many}", open=False, elem_id="paste"):
                text = gr.Textbox(
                    label=f"One {domain.called} or id per line", lines=4, max_lines=8, max_length=20_000,
                    placeholder="\n".join(service.examples),
                )  # fmt: skip
                paste = gr.Button(f"Add these {domain.many}", size="sm")
            with gr.Accordion("How the list is made", open=False, elem_id="options"):
                choices = [
                    (face, name) for face, name in CHOICES.items() if name in service.recommender.adapters
                ]
                adapter = gr.Radio(
                    choices,
                    value=service.recommender.best_adapter,
                    label="Ranked by",
                    container=False,
                    elem_id="adapter",
                )
                new = gr.Checkbox(True, label="New to you: leave out what is in the history", container=False)
                rerank = gr.Checkbox(
                    label=f"Read the best 20 {domain.many} once more before ranking them (slower)",
                    visible=service.can_rerank(service.recommender.best_adapter),
                    container=False,
                    elem_id="rerank",
                )
        with gr.Column(scale=3, min_width=320):
            board = piece(opens_with.result, js_on_load=acts, elem_id="result")
            reasons = piece(opens_with.why, js_on_load=acts + script("why.js"), elem_id="why")
    shown, drawn = gr.State(Asked(visit.place, service.recommender.best_adapter)), gr.State(visit.place)
    changes = [shared.visit, history, visitors, drawn]

    def redrawn(visit: Visit, said: str = "") -> tuple[str, str, Place]:
        return history_list(service, visit, said), visitor_chips(service, visit, "one"), visit.place

    def on_act(visit: Visit, event: gr.EventData) -> tuple[object, ...]:
        name, value = str(event.name), str(event.value)
        if name == "random":
            name, value = "case", str(secrets.randbelow(len(service.cases)))
        after, said = changed(service, visit, name, value)
        return after, *redrawn(after, said)

    def on_paste(visit: Visit, lines: str) -> tuple[object, ...]:
        after, said = pasted(service, visit, lines or "")
        return after, *redrawn(after, said), ""

    def follow(visit: Visit, seen: Place) -> object:
        # Changed on another tab; what was changed here is drawn already, with what was said about it.
        return (gr.skip(),) * 3 if seen == visit.place else redrawn(visit)

    def on_adapter(chosen: str) -> tuple[str, object]:
        name = chosen if chosen in ADAPTER_NAMES else service.recommender.best_adapter
        return name, gr.update(visible=service.can_rerank(name), value=False)

    def refresh(
        visit: Visit, ranked_by: AdapterName, again: bool, fresh: bool, tab: str, seen: Asked
    ) -> object:
        asked = Asked(visit.place, ranked_by, again and service.can_rerank(ranked_by), fresh)
        if tab != NAME or seen == asked:
            return (gr.skip(),) * 4
        can = visit.history and ranked_by != "base"
        nothing = '<p class="fine telling"></p>'
        return (
            result(service, visit, asked),
            why.WAITING if can else why.NOTHING,
            why.most_telling(service, None) if can else nothing,
            asked,
        )

    def explain(visit: Visit, seen: Asked, event: gr.EventData) -> object:
        pressed = str(event.value) == "pressed"
        if visit.place != seen.place or (service.turnstile.present and not pressed):
            return gr.skip(), gr.skip()  # another list is on its way, or others need the model more
        try:
            done = explanation(service, seen)
        except IloraError as error:
            return why.refused(error), gr.skip()
        if done is None:
            return why.NOTHING, gr.skip()
        return why.why(service, done, opened=pressed), why.most_telling(service, done)

    for source in (visitors, search, history, board):
        source.act(on_act, shared.visit, changes, **BY_HAND)
    paste.click(on_paste, [shared.visit, text], [*changes, text], **BY_HAND)
    adapter.change(on_adapter, adapter, [shared.adapter, rerank], **AT_ONCE)
    gr.on(
        [shared.visit.change, shared.adapter.change, rerank.change, new.change, shared.tab.change],
        refresh,
        [shared.visit, shared.adapter, rerank, new, shared.tab, shown],
        [board, reasons, telling, shown],
        **IN_TURN,
    )
    reasons.act(explain, [shared.visit, shown], [reasons, telling], **IN_TURN)
    shared.visit.change(follow, [shared.visit, drawn], changes[1:], **AT_ONCE)
    shared.adapter.change(lambda chosen: chosen, shared.adapter, adapter, **AT_ONCE)
