"""The tab "Mixing board": each expert a slider; the list follows, with moves against the own mixture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import gradio as gr

from app.palette import expert_letter
from app.web.charts import letter, mixture_style, percent, ranked_list
from app.web.history import whose
from app.web.sentences import mixed, none_to_mix
from app.web.service import Service
from app.web.tab import AT_ONCE, BY_HAND, IN_TURN, Shared
from app.web.theme import piece, script
from app.web.visit import Place, Visit
from core.errors import DataError
from core.recommendation import RankedItem, Recommendation
from core.request import read_gate
from quant.errors import IloraError

NAME, LABEL = "mixing", "Mixing board"
TOP, GONE = 10, 5
Mixture = tuple[float, ...]


@dataclass(frozen=True)
class Own:
    """The list with the visitor's own mixture, which everything is compared with.

    Attributes:
        place: whose it is.
        gate: K weights, empty where no experts were asked.
        ranks: by item.
        top: the first ten, best first.
    """

    place: Place
    gate: Mixture
    ranks: Mapping[int, int]
    top: tuple[RankedItem, ...]


def own_list(service: Service, visit: Visit) -> Own:
    """What the visitor gets without touching a slider. Raises Busy."""
    done = service.recommend(visit.history, k=len(service.catalog))
    ranks = {item.index: item.rank for item in done.items}
    return Own(visit.place, done.gate, ranks, done.items[:TOP])


def preset(service: Service, visit: Visit, name: str) -> Mixture | None:
    """The mixture behind a button: "own" (None), "even", "only-2", or "case-17": another visitor's."""
    experts = service.recommender.num_experts
    kind, _, number = name.partition("-")
    if kind == "even":
        return (1 / experts,) * experts
    if kind == "only" and number.isdecimal() and int(number) < experts:
        return tuple(float(expert == int(number)) for expert in range(experts))
    if kind == "case" and number.isdecimal() and int(number) < len(service.cases):
        return service.route(service.cases[int(number)].history)[0]
    return None


def read_sliders(text: str, experts: int) -> Mixture | None:
    """ "0.1,0.2,0.3,0.4" -> K weights that sum to 1; None for what is no mixture, all zeros for instance."""
    try:
        return tuple(map(float, read_gate([float(part) for part in text.split(",")], experts)[0]))
    except (ValueError, DataError):
        return None


def sliders(service: Service, gate: Sequence[float]) -> str:
    """One slider per expert; the numbers beside them are shares of the sum (see mixing.js)."""
    rows = []
    for portrait, weight in zip(service.portraits, gate, strict=True):
        name, words = expert_letter(portrait.expert), portrait.words or "no single taste"
        rows.append(
            f'<div class="expert expert-{portrait.expert % 8}">{letter(portrait.expert)}'
            f'<label class="words" for="mix-{portrait.expert}">{escape(words)}</label>'
            f'<input id="mix-{portrait.expert}" type="range" min="0" max="100" step="1" '
            f'value="{100 * weight:.0f}" aria-label="Expert {name}: {escape(words)}" '
            f'data-key="mix-{portrait.expert}" '
            f'aria-valuetext="{percent(weight)}"><output class="number" for="mix-{portrait.expert}">'
            f"{percent(weight)}</output></div>"
        )
    hint = (
        "Gate weights, scaled to sum to 1. The router sets them from the history; here they are set by hand."
    )
    return f'<div class="experts mixer" title="{hint}">{"".join(rows)}</div>'


def presets(service: Service, visit: Visit, chosen: str) -> str:
    """Buttons for mixtures worth looking at."""
    faces = [("own", f"{whose(service, visit)} own mixture"), ("even", "All alike")]
    faces += [(f"only-{e}", f"{expert_letter(e)} alone") for e in range(service.recommender.num_experts)]
    buttons = "".join(_preset(name, face, chosen) for name, face in faces)
    others = "".join(
        _preset(f"case-{visitor.case}", visitor.words, chosen)
        for visitor in service.visitors
        if visitor.case != visit.case
    )
    return (
        f'<p class="caption">Mixtures to try</p><div class="chips">{buttons}</div>'
        f'<p class="caption">Another visitor’s mixture <small>over {escape(whose(service, visit).lower())} '
        f'history</small></p><div class="chips">{others}</div>'
    )


def _preset(name: str, face: str, chosen: str) -> str:
    return (
        f'<button type="button" class="act chip" data-act="preset" data-value="{name}" '
        f'data-key="preset-{name}" '
        f'aria-pressed="{"true" if name == chosen else "false"}">{escape(face)}</button>'
    )


def board(service: Service, visit: Visit, own: Own, mixture: Mixture | None) -> str:
    """The list of a mixture with its moves, as HTML."""
    if not own.gate:
        return f'<div class="result"><p class="lead">{none_to_mix(bool(visit.history))}</p></div>'
    try:
        done = service.recommend(visit.history, k=TOP, gate=own.gate if mixture is None else mixture)
    except IloraError as error:
        return f'<div class="result"><p class="problem" role="alert">{escape(str(error))}</p></div>'
    before = None if mixture is None else own.ranks
    old = f"with {whose(service, visit).lower()} own mixture"
    listed = ranked_list(done.items, service.catalog.items, mixture_style(done.gate), None, before, old)
    said = mixed(done, own.ranks, mixture is None, service.domain)
    return (
        f'<div class="result" data-gate="{",".join(f"{w:.3f}" for w in done.gate)}">'
        f'<p class="lead">{said}</p>{listed}{_gone(done, own)}'
        f'<p class="fine">Probability among the {done.ranked:,} {service.domain.many} ranked; ▲▼ count '
        f"places against the list {escape(old)}. Only the experts’ weights differ: same history, same model, "
        "same scores of the "
        "router "
        "mixed in.</p></div>"
    )


def _gone(done: Recommendation, own: Own) -> str:
    here = {item.index for item in done.items}
    gone = [f"{escape(item.title)} (was {item.rank})" for item in own.top if item.index not in here]
    if not gone:
        return ""
    more = f" and {len(gone) - GONE} more" if len(gone) > GONE else ""
    return f'<p class="fine">No longer among the first {TOP}: {"; ".join(gone[:GONE])}{more}.</p>'


@dataclass(frozen=True)
class First:
    """What the tab opens with."""

    own: Own
    board: str


def first(service: Service, visit: Visit) -> First:
    """The visitor's own mixture and list."""
    own = own_list(service, visit)
    return First(own, board(service, visit, own, None))


def build(service: Service, shared: Shared, visit: Visit, opens_with: First) -> None:
    """Lay out the tab and connect it."""
    experts = service.recommender.num_experts
    even = (1 / experts,) * experts
    acts = script("acts.js")
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=2, min_width=320, elem_classes="side"):
            mixer = piece(
                sliders(service, opens_with.own.gate or even),
                js_on_load=acts + script("mixing.js"),
                elem_id="mixer",
            )
            tries = piece(presets(service, visit, "own"), js_on_load=acts, elem_id="presets")
        with gr.Column(scale=3, min_width=320):
            listed = piece(opens_with.board, js_on_load=acts, elem_id="mixed")
    mixture, own = gr.State(None), gr.State(opens_with.own)
    shown = gr.State((visit.place, None))

    def on_slide(visit: Visit, event: gr.EventData) -> tuple[object, object]:
        read = read_sliders(str(event.value), experts)
        return (gr.skip(), gr.skip()) if read is None else (read, presets(service, visit, ""))

    def on_preset(visit: Visit, event: gr.EventData) -> tuple[object, ...]:
        name = str(event.value)
        gate = preset(service, visit, name)
        drawn = gate or (service.route(visit.history)[0] if visit.history else even)
        return gate, sliders(service, drawn), presets(service, visit, name)

    def refresh(
        visit: Visit, gate: Mixture | None, tab: str, before: Own, seen: object
    ) -> tuple[object, ...]:
        if tab != NAME or seen == (visit.place, gate):
            return (gr.skip(),) * 3
        try:
            now = before if before.place == visit.place else own_list(service, visit)
        except IloraError as error:
            return f'<p class="problem" role="alert">{escape(str(error))}</p>', gr.skip(), gr.skip()
        return board(service, visit, now, gate), now, (visit.place, gate)

    def follow(visit: Visit) -> tuple[object, ...]:
        # Another history: back to its own mixture, so that nobody reads moves against somebody else's list.
        drawn = service.route(visit.history)[0] if visit.history else even
        return None, sliders(service, drawn), presets(service, visit, "own")

    def on_added(visit: Visit, event: gr.EventData) -> Visit:
        index = str(event.value)
        known = str(event.name) == "add" and index.isdecimal() and int(index) < len(service.catalog)
        return visit.add(int(index)) if known else visit

    mixer.act(on_slide, shared.visit, [mixture, tries], **BY_HAND)
    tries.act(on_preset, shared.visit, [mixture, mixer, tries], **BY_HAND)
    listed.act(on_added, shared.visit, shared.visit, **BY_HAND)
    shared.visit.change(follow, shared.visit, [mixture, mixer, tries], **AT_ONCE)
    gr.on(
        [mixture.change, shared.visit.change, shared.tab.change],
        refresh,
        [shared.visit, mixture, shared.tab, own, shown],
        [listed, own, shown],
        **IN_TURN,
    )
