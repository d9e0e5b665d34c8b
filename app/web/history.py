"""The visitor's history: what each button does to it, and how it is shown. Titles are data: escaped."""

from collections.abc import Sequence
from html import escape

from app.web.charts import act
from app.web.service import Pasted, Service
from app.web.visit import MAX_HISTORY, Visit
from core.errors import UnknownItem


def changed(service: Service, visit: Visit, name: str, value: str) -> tuple[Visit, str]:
    """What a press of a button does: the new visit, and a message (HTML) if there is something to say."""
    if name == "typed":
        try:
            return _added(service, visit, [service.catalog.index_of(value)])
        except UnknownItem as miss:
            return visit, unknown_title(service, miss)
    if name == "person":
        return _person(service, visit, value.strip())
    if name in ("clear", "undo", "redo"):
        return {"clear": visit.clear, "undo": visit.undo, "redo": visit.redo}[name](), ""
    if not value.removeprefix("-").isdecimal():
        return visit, ""
    number = int(value)
    if name == "case" and 0 <= number < len(service.cases):
        return visit.become(number, service.cases[number].history), ""
    if not 0 <= number < len(service.catalog):
        return visit, ""
    if name == "add":
        return _added(service, visit, [number])
    if name in ("up", "down"):
        return visit.move(number, -1 if name == "up" else 1), ""
    return (visit.remove(number) if name == "remove" else visit), ""


def _added(service: Service, visit: Visit, items: Sequence[int]) -> tuple[Visit, str]:
    after = visit.add(*items)
    twice = [item for item in items if item in visit.history]
    said = []
    if twice:
        titles = "; ".join(escape(service.catalog[item].title) for item in twice[:3])
        said.append(f"Already in the history, kept once: {titles}{' …' if len(twice) > 3 else ''}.")
    if len(items) - len(twice) > len(after.history) - len(visit.history):
        said.append(f"A history holds {MAX_HISTORY} {service.domain.many}; the rest was left out.")
    return after, message(" ".join(said)) if said else ""


def _person(service: Service, visit: Visit, user: str) -> tuple[Visit, str]:
    case = service.case_of(user)
    if case is not None:
        return visit.become(case, service.cases[case].history), ""
    some = ", ".join(escape(name) for name in service.people[:3])
    if not user:
        return visit, message(f"Type a person’s number, for example {some}.")
    return visit, message(f"There is no person “{escape(user[:40])}” here; there are {some} and others.")


def pasted(service: Service, visit: Visit, text: str) -> tuple[Visit, str]:
    """A pasted list becomes part of the history; what was not found is said, with the closest titles."""
    read: Pasted = service.read_list(text)
    if not read.known and not read.unknown:
        return visit, message(f"Paste one {service.domain.called} per line first.")
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


def visitor_chips(service: Service, visit: Visit, place: str) -> str:
    """Real people to start from: examples as buttons, anybody by number, or one at random.

    `place` tells the pieces of several tabs apart, as ids are unique in a page.
    """
    chips = [
        _chip("case", visitor.case, visitor.words, f"Person {visitor.user}", visit.case == visitor.case)
        for visitor in service.visitors
    ]
    box = (
        f'<input id="{place}-person" class="person" inputmode="numeric" maxlength="40" autocomplete="off" '
        'aria-label="A person’s number" placeholder="No." data-enter="person" '
        f'value="{_number(service, visit)}">'
    )
    show = (
        f'<button type="button" class="act chip" data-act="person" data-from="{place}-person" '
        f'data-key="{place}-show">Show</button>'
    )
    random = _chip("random", "", "Anybody", "A real person, drawn at random", None)
    return (
        '<p class="caption">Start from a real person '
        f"<small>one of {len(service.cases):,}, whose next {service.domain.one} was kept from the model"
        "</small></p>"
        f'<div class="chips">{"".join(chips)}{random}<span class="pick">{box}{show}</span></div>'
    )


def _number(service: Service, visit: Visit) -> str:
    return "" if visit.case is None else escape(service.user_of(visit.case))


def _chip(name: str, value: object, face: str, hint: str, pressed: bool | None) -> str:
    state = "" if pressed is None else f' aria-pressed="{"true" if pressed else "false"}"'
    return (
        f'<button type="button" class="act chip" data-act="{name}" data-value="{value}" '
        f'data-key="{name}-{value}"{state} title="{escape(hint)}">{escape(face)}</button>'
    )


def history_list(service: Service, visit: Visit, said: str = "") -> str:
    """The history as an ordered list that can be changed, under what there is to say."""
    count = len(visit.history)
    rows = []
    for place, index in enumerate(visit.history):
        title = service.catalog[index].title
        up = act("up", index, "↑", f"Move {title} earlier", f"up-{index}", off=place == 0)
        down = act("down", index, "↓", f"Move {title} later", f"down-{index}", off=place == count - 1)
        remove = act("remove", index, "×", f"Remove {title}", f"remove-{index}")
        rows.append(
            f'<li><span class="rank">{place + 1}</span><span class="title">{escape(title)}</span>'
            f'<span class="tools">{up}{down}{remove}</span></li>'
        )
    order = "Oldest first; the last one counts as the latest." if count > 1 else ""
    add = f"Add {service.domain.a_one} above, or start from one of the people."
    empty = f'<p class="fine">Nothing here yet. {add}</p>'
    listed = f'<ol class="history">{"".join(rows)}</ol>' if rows else empty
    return (
        f'{said}<div class="head"><h2>{escape(whose(service, visit))} history</h2>'
        f'<span class="tools wide">{_tools(visit)}</span></div>{listed}<p class="fine">{order}</p>'
    )


def _tools(visit: Visit) -> str:
    order = (
        '<button type="button" class="act phone" data-toggle="ordering" aria-pressed="false">Order</button>'
    )
    undo = act("undo", "", "Undo", "Undo: back to before the last change", "undo", off=not visit.past)
    redo = act("redo", "", "Redo", "Redo: once more what was taken back", "redo", off=not visit.future)
    clear = act("clear", "", "Clear", "Clear: empty the history", "clear", off=not visit.history)
    return f"{order if len(visit.history) > 1 else ''}{undo}{redo}{clear}"


def whose(service: Service, visit: Visit) -> str:
    """ "Your", or whose history is looked at."""
    return "Your" if visit.case is None else f"Visitor {service.user_of(visit.case)}’s"
