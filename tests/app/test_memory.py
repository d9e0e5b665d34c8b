"""What a browser or a link brings back: anybody may have written it, and it must not lose what it holds."""

import json
import re
from html import unescape

import pytest

from app.web.memory import memory, opened
from app.web.page import NAMES
from app.web.service import Service
from app.web.visit import MAX_HISTORY, Visit

NOBODY_TYPES = "🎬🍿 ☃"


def _kept(html: str) -> str:
    found = re.search(r'data-state="(.*?)"', html)
    assert found is not None
    return unescape(found.group(1))


def test_what_is_kept_comes_back_the_same(service: Service) -> None:
    for visit in (Visit((5, 3, 900)), Visit(), Visit(service.cases[7].history, 7)):
        back = opened(service, _kept(memory(service, visit, "lora", "compare")), NAMES)
        assert back is not None
        assert (back.visit, back.adapter, back.tab, back.said) == (visit, "lora", "compare", "")


def test_a_link_with_titles_and_unknown_ones_keeps_what_is_known_and_names_the_rest(service: Service) -> None:
    state = json.dumps(
        {"history": ["Fargo (1996)", NOBODY_TYPES, "<b>x</b>", "Fargo (1996)"], "tab": "nowhere"}
    )
    back = opened(service, state, NAMES)
    assert back is not None
    assert back.visit.history == (service.catalog.index_of("Fargo (1996)"),)
    assert back.tab == NAMES[0] and back.adapter == "ilora"
    assert NOBODY_TYPES in back.said and "<b>" not in back.said


def test_an_unknown_person_is_said(service: Service) -> None:
    back = opened(service, '{"person": "nobody", "tab": "mixing"}', NAMES)
    assert back is not None and "nobody" in back.said and back.visit == Visit() and back.tab == "mixing"


def test_a_link_that_names_no_history_leaves_the_one_that_is_there(service: Service) -> None:
    back = opened(service, '{"adapter": "lora", "tab": "compare"}', NAMES)
    assert back is not None and (back.visit, back.adapter, back.tab) == (None, "lora", "compare")
    emptied = opened(service, '{"history": [], "tab": "compare"}', NAMES)
    assert emptied is not None and emptied.visit == Visit()


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '{"history": "Fargo"}', '{"history": [1]}', '{"person": 3}', "🎬"]
)
def test_what_makes_no_sense_changes_nothing(service: Service, text: str) -> None:
    assert opened(service, text, NAMES) is None


def test_a_long_link_is_cut_to_a_history(service: Service) -> None:
    ids = [item.item_id for item in service.catalog.items[:300]]
    back = opened(service, json.dumps({"history": ids}), NAMES)
    assert back is not None and len(back.visit.history) == MAX_HISTORY
