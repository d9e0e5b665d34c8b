"""The tab "Recommend": a history on the left; on the right the list, the experts behind it, and the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import gradio as gr

from app.web.charts import act, expert_bars, milliseconds, mixture_style, percent, ranked_list
from app.web.sentences import leaning
from app.web.service import Pasted, Service
from app.web.theme import piece, script
from app.web.visit import MAX_HISTORY, Visit
from core.errors import UnknownItem
from core.recommendation import Recommendation
from quant.errors import IloraError

TOP = 10
# Through the queue, as only there a changed state tells its followers; but past those who wait for the model.
AT_ONCE = {"concurrency_limit": 8, "show_progress": "hidden", "api_visibility": "private"}
SEARCH_BOX = """
<label class="caption" for="search-box">Add a title to the history</label>
<div class="search">
  <input id="search-box" type="text" role="combobox" autocomplete="off" spellcheck="false" maxlength="200"
    aria-expanded="false" aria-controls="search-found" aria-autocomplete="list"
    placeholder="Type a few letters…">
  <ul id="search-found" role="listbox" aria-label="Titles found" hidden></ul>
</div>
"""


@dataclass(frozen=True)
class Shared:
    """Components that both tabs use.

    Attributes:
        visit: the visitor's own state; nothing else on the server knows his history.
        tab: which tab is open, so that only what is seen is computed.
    """

    visit: gr.State
    tab: gr.State


def changed(service: Service, visit: Visit, name: str, value: str) -> tuple[Visit, str]:
    """What a press of a button does: the new visit, and a message (HTML) if there is something to say."""
    if name == "typed":
        try:
            return _added(service, visit, [service.catalog.index_of(value)])
        except UnknownItem as miss:
            return visit, unknown_title(service, miss)
    if name == "clear":
        return visit.clear(), ""
    if name == "undo":
        return visit.undo(), ""
    number = int(value)
    if name == "visitor" and 0 <= number < len(service.visitors):
        case = service.visitors[number].case
        return visit.become(case, service.cases[case].history), ""
    if not 0 <= number < len(service.catalog):
        return visit, ""
    if name == "add":
        return _added(service, visit, [number])
    moves = {"up": -1, "down": 1}
    return (visit.move(number, moves[name]) if name in moves else visit.remove(number)), ""


def _added(service: Service, visit: Visit, items: Sequence[int]) -> tuple[Visit, str]:
    after = visit.add(*items)
    twice = [item for item in items if item in visit.history]
    said = []
    if twice:
        titles = "; ".join(escape(service.catalog[item].title) for item in twice[:3])
        said.append(f"Already in the history, kept once: {titles}{' …' if len(twice) > 3 else ''}.")
    if len(items) - len(twice) > len(after.history) - len(visit.history):
        said.append(f"A history holds {MAX_HISTORY} titles; the rest was left out.")
    return after, message(" ".join(said)) if said else ""


def pasted(service: Service, visit: Visit, text: str) -> tuple[Visit, str]:
    """A pasted list becomes part of the history; what was not found is said, with the closest titles."""
    read: Pasted = service.read_list(text)
    if not read.known and not read.unknown:
        return visit, message("Paste one title per line first.")
    after, said = _added(service, visit, read.known)
    return after, said + "".join(unknown_title(service, miss) for miss in read.unknown[:5])


def message(text: str) -> str:
    """A line for the visitor; `text` is HTML already."""
    return f'<p class="message" role="status">{text}</p>'


def unknown_title(service: Service, miss: UnknownItem) -> str:
    """A title that is not in the catalogue, with the closest ones as buttons."""
    closest = [service.catalog[service.catalog.index_of(title)] for title in miss.suggestions]
    buttons = "".join(act("add", item.index, item.title, f"Add {item.title}") for item in closest)
    hint = f" Did you mean: {buttons}" if buttons else " Nothing in the catalogue is close to it."
    return f'<div class="message" role="status">There is no “{escape(miss.query[:80])}” here.{hint}</div>'


def visitor_chips(service: Service, visit: Visit) -> str:
    """Real people to start from, as buttons."""
    chips = []
    for number, visitor in enumerate(service.visitors):
        pressed = "true" if visit.case == visitor.case else "false"
        hint = f"Person {visitor.user}: the last {len(service.cases[visitor.case].history)} titles"
        chips.append(
            f'<button type="button" class="act chip" data-act="visitor" data-value="{number}" '
            f'data-key="visitor-{number}" aria-pressed="{pressed}" title="{escape(hint)}">'
            f"{escape(visitor.words)}</button>"
        )
    return (
        '<p class="caption">Start from a real person '
        "<small>whose next title was kept from the model</small></p>"
        f'<div class="chips">{"".join(chips)}</div>'
    )


def history_list(service: Service, visit: Visit, said: str = "") -> str:
    """The history as an ordered list that can be changed, under what there is to say."""
    count = len(visit.history)
    rows = []
    for place, index in enumerate(visit.history):
        title = service.catalog[index].title
        up = act("up", index, "↑", f"Move {title} earlier", f"up-{index}")
        down = act("down", index, "↓", f"Move {title} later", f"down-{index}")
        if place == 0:
            up = up.replace("<button ", "<button disabled ", 1)
        if place == count - 1:
            down = down.replace("<button ", "<button disabled ", 1)
        remove = act("remove", index, "×", f"Remove {title}", f"remove-{index}")
        rows.append(
            f'<li><span class="rank">{place + 1}</span><span class="title">{escape(title)}</span>'
            f'<span class="tools">{up}{down}{remove}</span></li>'
        )
    order = "Oldest first; the last one counts as the latest." if count > 1 else ""
    empty = '<p class="fine">Nothing here yet. Add a title above, or start from one of the people.</p>'
    listed = f'<ol class="history">{"".join(rows)}</ol>' if rows else empty
    clear = act("clear", "", "Clear", "Empty the history", "clear")
    undo = act("undo", "", "Undo", "Back to before the last change", "undo") if visit.before else ""
    return (
        f'{said}<div class="head"><h3>{escape(whose(service, visit))} history</h3>'
        f'<span class="tools wide">{undo}{clear if rows else ""}</span></div>'
        f'{listed}<p class="fine">{order}</p>'
    )


def whose(service: Service, visit: Visit) -> str:
    """ "Your", or whose history is looked at."""
    return (
        "Your" if visit.case is None else f"Visitor {service.dataset.users[service.cases[visit.case].user]}’s"
    )


def result(service: Service, visit: Visit, rerank: bool = False) -> str:
    """The right-hand side: sentence, experts, list, what the numbers mean, and where the time went."""
    try:
        # A held-out person's next title may stand anywhere, so the whole order is asked for.
        whole = len(service.catalog) - len(visit.history) if visit.case is not None and not rerank else TOP
        done = service.recommend(visit.history, k=whole, rerank=rerank)
    except IloraError as error:
        return f'<div class="result"><p class="problem" role="alert">{escape(str(error))}</p></div>'
    target = None if visit.case is None else service.cases[visit.case].target
    owner = "Your history" if visit.case is None else "This visitor’s history"
    experts = expert_bars(done.gate, service.portraits) if done.gate else ""
    fill = mixture_style(done.gate) if done.gate else ""
    return (
        f'<div class="result" data-adapter="{done.adapter}" data-stage="{done.stage}" '
        f'data-history="{"-".join(map(str, visit.history))}">'
        f'<p class="lead">{leaning(done, service.portraits, owner)}</p>{experts}'
        f"{ranked_list(done.items[:TOP], service.catalog.items, fill, target)}"
        f'<p class="fine">{_meaning(done)}</p>{_next_title(service, done, target)}'
        f"{_notes(done)}{_timings(done)}</div>"
    )


def _meaning(done: Recommendation) -> str:
    kind = "Share of what people watched" if done.stage == "popular" else "Probability"
    longest = max((item.probability for item in done.items), default=0.0)
    ranked = f"{kind} among the {done.ranked:,} titles ranked"
    return f"{ranked}; bars are drawn against the highest, {percent(longest)}."


def _next_title(service: Service, done: Recommendation, target: int | None) -> str:
    rank = next((item.rank for item in done.items if item.index == target), None)
    if target is None or rank is None:
        return ""
    title = escape(service.catalog[target].title)
    return f'<p class="fine">★ What this person really watched next: <b>{title}</b>, rank {rank:,} here.</p>'


def _notes(done: Recommendation) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in done.notes)


def _timings(done: Recommendation) -> str:
    steps = ("routing", "retrieval", "ranking")
    told = " · ".join(
        f"{step} {milliseconds(done.timings_ms[step])}" for step in steps if step in done.timings_ms
    )
    return f'<p class="fine timings" title="Measured on this server for this list">{told}</p>'


def build(service: Service, shared: Shared, first: Visit, first_result: str) -> None:
    """Lay out the tab and connect it. `first_result` is the finished example the page opens with."""

    def find_titles(query: str) -> dict[str, object]:
        found = service.search(str(query))
        items = [
            {"index": item.index, "title": item.title, "genres": " · ".join(item.genres)}
            for item in found.items
        ]
        return {"items": items, "literal": found.literal}

    acts = script("acts.js")
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=2, min_width=320, elem_classes="side"):
            search = piece(
                SEARCH_BOX, js_on_load=script("search.js"), server_functions=[find_titles], elem_id="search"
            )
            visitors = piece(visitor_chips(service, first), js_on_load=acts, elem_id="visitors")
            history = piece(history_list(service, first), js_on_load=acts, elem_id="history")
            rerank = gr.Checkbox(
                label="Read the best 20 titles once more before ranking them (slower)",
                visible=service.can_rerank,
                container=False,
                elem_id="rerank",
            )
            with gr.Accordion("Paste a list of titles", open=False, elem_id="paste"):
                text = gr.Textbox(
                    show_label=False, container=False, lines=4, max_lines=8, placeholder="One title per line",
                    max_length=20_000,
                )  # fmt: skip
                paste = gr.Button("Add these titles", size="sm")
        with gr.Column(scale=3, min_width=320):
            board = piece(first_result, js_on_load=acts, elem_id="result")
    shown = gr.State((first, False))

    def on_act(visit: Visit, event: gr.EventData) -> tuple[Visit, str, str]:
        after, said = changed(service, visit, str(event.name), str(event.value))
        return after, history_list(service, after, said), visitor_chips(service, after)

    def on_paste(visit: Visit, lines: str) -> tuple[Visit, str, str, str]:
        after, said = pasted(service, visit, lines or "")
        return after, history_list(service, after, said), visitor_chips(service, after), ""

    def refresh(visit: Visit, again: bool, tab: str, seen: object) -> tuple[object, object]:
        if tab != "recommend" or seen == (visit, again):
            return gr.skip(), gr.skip()
        return result(service, visit, again), (visit, again)

    changes = [shared.visit, history, visitors]
    for source in (visitors, search, history, board):
        source.act(on_act, shared.visit, changes, **AT_ONCE)
    paste.click(on_paste, [shared.visit, text], [*changes, text], **AT_ONCE)
    gr.on(
        [shared.visit.change, rerank.change, shared.tab.change],
        refresh,
        [shared.visit, rerank, shared.tab, shown],
        [board, shown],
        concurrency_id="model",
        concurrency_limit=1,
        trigger_mode="always_last",
        show_progress="minimal",
        api_visibility="private",
    )
