"""What survives a refresh and what a link carries: history, adapter and tab, in the browser only."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.web.charts import ADAPTER_NAMES
from app.web.history import message
from app.web.service import Service
from app.web.visit import MAX_HISTORY, Visit
from core.errors import UnknownItem
from core.recommendation import AdapterName

LONGEST = 300


class Kept(BaseModel):
    """What comes back from a browser or a link: anybody may have written it."""

    model_config = ConfigDict(extra="ignore")

    history: list[str] | None = Field(default=None, max_length=5 * MAX_HISTORY)
    person: str = Field(default="", max_length=LONGEST)
    adapter: str = ""
    tab: str = ""


@dataclass(frozen=True)
class Opened:
    """A page as it was left: whose history, ranked by what, on which tab, and what was lost.

    Attributes:
        visit: None where nothing was said of a history: the one that the page opens with stays.
    """

    visit: Visit | None
    adapter: AdapterName
    tab: str
    said: str = ""


def state_of(service: Service, visit: Visit, adapter: str, tab: str) -> str:
    """The state as JSON, with the data set's own ids: they outlive a change of the catalogue's order."""
    person = "" if visit.case is None else service.user_of(visit.case)
    ids = [] if person else [service.catalog[index].item_id for index in visit.history]
    return json.dumps(
        {"history": ids, "person": person, "adapter": adapter, "tab": tab}, separators=(",", ":")
    )


def opened(service: Service, text: str, tabs: Sequence[str]) -> Opened | None:
    """The state that a browser or a link brought; None where it makes no sense at all."""
    try:
        kept = Kept.model_validate_json(text[:200_000])
    except ValidationError:
        return None
    adapter: AdapterName = "ilora"
    for name in service.recommender.adapters:
        adapter = name if name == kept.adapter else adapter
    tab = kept.tab if kept.tab in tabs else tabs[0]
    case = service.case_of(kept.person)
    if case is not None:
        return Opened(Visit(service.cases[case].history, case), adapter, tab)
    if kept.history is None and not kept.person:
        return Opened(None, adapter, tab)
    known, unknown = [], []
    for entry in kept.history or ():
        try:
            known.append(service.catalog.index_of(entry[:LONGEST]))
        except UnknownItem:
            unknown.append(entry)
    said = []
    if unknown:
        names = "; ".join(escape(entry[:60]) for entry in unknown[:3])
        said.append(f"Not in this catalogue, left out: {names}{' …' if len(unknown) > 3 else ''}.")
    if kept.person:
        said.append(f"There is no person “{escape(kept.person[:40])}” here.")
    visit = Visit(tuple(dict.fromkeys(known))[:MAX_HISTORY])
    return Opened(visit, adapter, tab, message(" ".join(said)) if said else "")


def memory(service: Service, visit: Visit, adapter: str, tab: str) -> str:
    """The foot of the page: the state for the browser to keep, a link, and help when the server is gone."""
    state = escape(state_of(service, visit, adapter if adapter in ADAPTER_NAMES else "ilora", tab))
    return (
        f'<div data-state="{state}"><p class="fine">Your history is kept in this browser, not on the server. '
        '<button type="button" class="act chip" data-page="link">Link to this view</button> '
        '<span data-said role="status"></span></p>'
        '<p data-gone hidden role="alert" class="problem">The server does not answer. Your history is safe '
        "in this "
        'browser. <button type="button" class="act chip" data-page="retry">Try again</button></p>'
        '<input data-link hidden readonly aria-label="Link to this view"></div>'
    )
