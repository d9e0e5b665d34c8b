"""What mattered: what a list would be without each title of the history; the most telling one first."""

from html import escape

from app.palette import expert_letter
from app.web.charts import bar, letter, percent
from app.web.service import Service
from core.explanation import Explanation, Omission
from quant.errors import IloraError

SHOWN_MOVES = 3
CLEARLY = 0.02
"""A weight that changes by less than this is not worth a word."""
ASK = (
    '<button type="button" class="act chip" data-act="why" data-value="pressed" data-key="why">'
    "Why this list?</button>"
)
WAITING = f'<div class="why" data-wait="1">{ASK}</div>'
"""Asked by a press, or by why.js as soon as the visitor has rested on a list."""
NOTHING = '<div class="why"></div>'


def most_telling(service: Service, done: Explanation | None) -> str:
    """One line under the history."""
    if done is None:
        return '<p class="fine telling">Most telling: …</p>'
    title = escape(service.catalog[done.omissions[0].index].title)
    one = service.domain.one
    hint = f"The {one} whose absence would change the list most; all of them stand under “Why this list?”"
    return f'<p class="fine telling" title="{hint}">Most telling: <b>{title}</b></p>'


def why(service: Service, done: Explanation, opened: bool = False) -> str:
    """The whole panel: one sentence, then each title of the history, strongest first."""
    rows = "".join(f"<li>{_row(service, done, omission)}</li>" for omission in done.omissions)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in done.notes if "left out" in note)
    return (
        f'<details class="why"{" open" if opened else ""}><summary data-key="why">Why this list? '
        f"<span>{_sentence(service, done)}</span></summary>"
        f'<ol class="omissions">{rows}</ol>{notes}<p class="fine">Each line is the model asked again '
        f"without that {service.domain.one} (leave-one-out, all in one batch); nothing else changes. The bar "
        f"is how much of the probability goes to other {service.domain.many} (total variation over "
        f"{done.ranked:,}). It says what the model would have "
        "answered, not what moved the person.</p></details>"
    )


def refused(error: IloraError) -> str:
    """Why there is no explanation now, with a way to ask again."""
    return f'<div class="why"><p class="note" role="status">{escape(str(error))}</p>{ASK}</div>'


def _sentence(service: Service, done: Explanation) -> str:
    strongest = done.omissions[0]
    title, first = (escape(service.catalog[index].title) for index in (strongest.index, done.items[0].index))
    before, after = percent(done.items[0].probability), percent(strongest.probability)
    direction = "fall" if strongest.probability < done.items[0].probability else "rise"
    return f"Without {title}, {first} would {direction} from {before} to {after}."


def _row(service: Service, done: Explanation, omission: Omission) -> str:
    title = escape(service.catalog[omission.index].title)
    first = done.items[0]
    rank = "" if omission.rank == 1 else f", rank {omission.rank:,}"
    facts = [
        f"{escape(first.title)}: {percent(first.probability)} → {percent(omission.probability)}{rank}",
        *_moves(service, "In", omission.entered),
        *_moves(service, "Out", omission.left),
    ]
    return (
        f'<span class="title"><small>without</small> {title}</span>'
        f'{bar(omission.shift, "shift")}<span class="number">{percent(omission.shift)}</span>'
        f'<span class="facts">{"; ".join(facts)}.{_experts(done, omission)}</span>'
    )


def _moves(service: Service, word: str, items: tuple[int, ...]) -> list[str]:
    if not items:
        return []
    titles = ", ".join(escape(service.catalog[index].title) for index in items[:SHOWN_MOVES])
    more = f" and {len(items) - SHOWN_MOVES} more" if len(items) > SHOWN_MOVES else ""
    return [f"{word}: {titles}{more}"]


def _experts(done: Explanation, omission: Omission) -> str:
    pairs = list(zip(done.gate, omission.gate, strict=False))
    changes = [
        f'<span title="Expert {expert_letter(i)}">{letter(i)} {percent(before)} → {percent(after)}</span>'
        for i, (before, after) in enumerate(pairs)
        if abs(after - before) >= CLEARLY
    ]
    return f' <span class="mixed">{"".join(changes)}</span>' if changes else ""
