"""The tab "Experts": who leans on which expert, as a map of people and as tables of the same numbers."""

from collections.abc import Sequence
from html import escape

import gradio as gr

from app.palette import expert_letter
from app.web import compare
from app.web.atlas import Atlas
from app.web.charts import letter, percent
from app.web.portraits import join_words
from app.web.service import Service
from app.web.tab import AT_ONCE, BY_HAND, Shared
from app.web.theme import piece, script
from app.web.visit import Visit

NAME, LABEL = "experts", "Experts"
SIZE = 1000
MARKS = (
    '<circle r="9"/>',
    '<rect x="-8" y="-8" width="16" height="16"/>',
    '<path d="M0-11 10 8H-10z"/>',
    '<path d="M0-12 11 0 0 12-11 0z"/>',
    '<path d="M0 11 10-8H-10z"/>',
    '<path d="M-11-4H-4V-11H4V-4H11V4H4V11H-4V4H-11z"/>',
    '<path d="M-10-6-6-10 0-4 6-10 10-6 4 0 10 6 6 10 0 4-6 10-10 6-4 0z"/>',
    '<path d="M0-11 9-5V5L0 11-9 5V-5z"/>',
)
"""A shape per expert beside its colour, in the order of the palette."""
MOST_GENRES = 14


def mark(expert: int) -> str:
    """An expert's shape: with more experts than colours, those of one colour differ in it."""
    return MARKS[(expert + 3 * (expert // len(MARKS))) % len(MARKS)]


def sentence(atlas: Atlas) -> str:
    """Utilisation and entropy in one sentence."""
    shares = atlas.shares
    high, low = int(shares.argmax()), int(shares.argmin())
    leading = [expert for expert, count in enumerate(atlas.leads) if count]
    lead = (
        f"All {len(shares)} experts lead somebody"
        if len(leading) == len(shares)
        else f"Only {join_words([f'expert {expert_letter(e)}' for e in leading])} "
        f"{'leads' if len(leading) == 1 else 'lead'} anybody"
    )
    return (
        f"{lead}: over {atlas.people:,} people, mean weights go from {percent(float(shares[low]))} "
        f"({expert_letter(low)}) to {percent(float(shares[high]))} ({expert_letter(high)}), and a typical "
        f"person’s mixture is worth {atlas.equal_experts:.1f} equal experts."
    )


def picture(atlas: Atlas) -> str:
    """The map as one SVG: a mark per person, shaped and coloured by the leading expert."""
    symbols = "".join(
        f'<symbol id="mark-{expert}" overflow="visible">{mark(expert)}</symbol>'
        for expert in range(len(atlas.shares))
    )
    places = (30 + (SIZE - 60) * atlas.points).round().astype(int).tolist()
    marks = "".join(
        f'<use href="#mark-{expert}" class="expert-{expert % 8}" x="{x}" y="{SIZE - y}" data-case="{case}"/>'
        for (x, y), expert, case in zip(places, atlas.leaders.tolist(), atlas.cases.tolist(), strict=True)
    )
    across, up = map(percent, atlas.explained)
    drawn = len(atlas.cases)
    some = "" if drawn == atlas.people else f" ({drawn:,} of {atlas.people:,}, drawn at random)"
    return (
        f'<div class="map" tabindex="0" role="group" aria-label="Map of {drawn:,} people by their histories. '
        'Arrow keys go from person to person, Enter opens one in Compare; the tables hold the numbers.">'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" aria-hidden="true"><defs>{symbols}</defs>{marks}'
        '<circle class="ring" r="18" transform="translate(-99 -99)"/></svg></div>'
        '<p class="who" role="status">Point at a person to see the history; press to open it in Compare.</p>'
        f'<p class="fine">Each mark is one person{some}: close together means alike to the encoder. Shape '
        "and colour are the expert with the largest weight. A flat picture of a wide space (PCA): the axes "
        f"carry {across} and {up} of the differences, so distances are hints.</p>"
    )


def legend(service: Service) -> str:
    """Mark, letter, words and numbers of every expert, as a table."""
    atlas = service.atlas
    rows = "".join(
        f'<tr><th scope="row"><svg class="mark expert-{p.expert % 8}" viewBox="-14 -14 28 28" '
        f'aria-hidden="true">{mark(p.expert)}</svg> {letter(p.expert)}</th>'
        f'<td>{escape(p.words) or "no single taste"}</td><td class="number">{percent(p.share)}</td>'
        f'<td class="number">{p.leads:,}</td></tr>'
        for p in service.portraits
    )
    tastes = "genres and eras" if service.tastes == "genres" else service.tastes
    hint = f"exp of the mean entropy {atlas.entropy:.2f}; at most {len(atlas.shares)}"
    return (
        f'<div class="measured"><p class="lead" title="{hint}">{sentence(atlas)}</p><div class="scroll" '
        'tabindex="0" role="region" aria-label="The experts"><table><thead><tr><th scope="col">Expert</th>'
        f'<th scope="col" title="{tastes} that the tenth of people who lean on it most have more of">'
        'Its people have more</th><th scope="col" title="mean gate weight over all people">Mean weight'
        '</th><th scope="col" title="people whose largest weight it is">Leads</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def heat(title: str, said: str, columns: Sequence[tuple[str, str]], values: Sequence[Sequence[float]]) -> str:
    """A heat map that is a table: every cell says its number, the shade repeats it.

    Args:
        columns: name and hint of each.
        values: [K][C] lifts; 1 is as everywhere.
    """
    head = "".join(f'<th scope="col" title="{escape(hint)}">{escape(name)}</th>' for name, hint in columns)
    body = "".join(
        f'<tr><th scope="row">{letter(expert)}</th>{"".join(map(_cell, row))}</tr>'
        for expert, row in enumerate(values)
    )
    return (
        f'<section class="measured heat"><h3>{escape(title)}</h3><p class="fine">{said}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table><thead><tr>'
        f'<th scope="col">Expert</th>{head}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _cell(lift: float) -> str:
    strength = min(abs(lift - 1) / 0.5, 1.0)
    kind = "more" if lift > 1 else "less"
    return f'<td class="number {kind}" style="--heat:{round(60 * strength)}%">{lift:.2f}</td>'


def board(service: Service) -> str:
    """Both heat maps."""
    atlas = service.atlas
    clusters = [
        (f"{number}. {cluster.words or 'mixed tastes'}", f"{cluster.people} people")
        for number, cluster in enumerate(atlas.clusters, 1)
    ]
    shown = [(f"{name} (n = {hint.split()[0]})", hint) for name, hint in clusters]
    genres = [(name, "share of the history entries") for name in atlas.genres[:MOST_GENRES]]
    groups = heat(
        "Experts and groups of people",
        "How much of its weight an expert gets in each group, against its mean weight: 1.20 is a fifth more "
        "than everywhere. Groups are people close together in the encoder’s space (k-means), named by what "
        "stands out in their histories.",
        shown,
        atlas.by_cluster.tolist(),
    )
    if not genres:
        return f'{groups}<p class="fine">No {service.tastes} are in enough histories to be compared.</p>'
    return groups + heat(
        f"Experts and {service.tastes}",
        "How often each occurs in the histories that an expert serves, counted by its weight, against all "
        "histories. Numbers near 1 mean that the expert does not care for it.",
        genres,
        atlas.by_genre[:, :MOST_GENRES].tolist(),
    )


def person(service: Service, number: str) -> str:
    """One person of the map in words: number, mixture and history."""
    if not number.isdecimal() or int(number) >= len(service.cases):
        return "There is no such person."
    case = service.cases[int(number)]
    gate, _ = service.route(case.history)
    mixed = ", ".join(f"{expert_letter(expert)} {percent(weight)}" for expert, weight in enumerate(gate))
    titles = " → ".join(service.catalog[index].title for index in case.history)
    return f"Person {service.user_of(int(number))} ({mixed}): {titles}"


def first(service: Service, visit: Visit) -> str:
    """The map; it goes to the browser when the tab is opened, as it is the longest piece of the page."""
    return picture(service.atlas)


def build(service: Service, shared: Shared, visit: Visit, opens_with: str) -> None:
    """Lay out the tab and connect it."""
    waiting = (
        '<div class="map" tabindex="0" role="group" aria-label="Map of people"></div><p class="who"></p>'
    )

    def person_of(number: str) -> str:
        return person(service, str(number))

    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=3, min_width=320):
            drawn = piece(
                waiting, js_on_load=script("map.js"), server_functions=[person_of], elem_id="people-map"
            )
        with gr.Column(scale=2, min_width=320):
            piece(legend(service), elem_id="expert-legend")
    piece(board(service), elem_id="expert-heat")
    here = gr.State(False)

    def on_open(tab: str, already: bool) -> tuple[object, object]:
        return (opens_with, True) if tab == NAME and not already else (gr.skip(), gr.skip())

    def on_act(visit: Visit, event: gr.EventData) -> tuple[object, ...]:
        number = str(event.value)
        if not number.isdecimal() or int(number) >= len(service.cases):
            return (gr.skip(),) * 3
        after = visit.become(int(number), service.cases[int(number)].history)
        return after, compare.NAME, gr.update(selected=compare.NAME)

    shared.tab.change(on_open, [shared.tab, here], [drawn, here], **AT_ONCE)
    drawn.act(on_act, shared.visit, [shared.visit, shared.tab, shared.tabs], **BY_HAND)
