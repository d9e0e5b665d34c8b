"""What the buttons of the page do, and what the page says, with the real bundle."""

import re

import pytest

from app.web import compare
from app.web.history import changed, history_list, pasted, unknown_title, visitor_chips
from app.web.recommend import Asked, result
from app.web.service import Service
from app.web.visit import Visit
from core.errors import UnknownItem
from core.recommendation import AdapterName
from tests.rounding import in_bf16

FARGO = "Fargo (1996)"


def _index(service: Service, title: str) -> int:
    return service.catalog.index_of(title)


def test_typing_a_title_adds_it(service: Service) -> None:
    after, said = changed(service, Visit(), "typed", "fargo")
    assert after.history == (_index(service, FARGO),) and said == ""


def test_an_unknown_title_offers_the_three_closest_and_loses_nothing(service: Service) -> None:
    before = Visit((3, 4))
    after, said = changed(service, before, "typed", "Farrgo")
    assert after is before
    offered = re.findall(r'data-act="add" data-value="(\d+)"', said)
    assert len(offered) == 3 and str(_index(service, FARGO)) in offered


def test_an_unknown_title_cannot_become_markup(service: Service) -> None:
    said = unknown_title(service, UnknownItem("<img src=x onerror=alert(1)>"))
    assert "<img" not in said and "&lt;img" in said


def test_a_title_twice_is_kept_once_and_said(service: Service) -> None:
    fargo = _index(service, FARGO)
    after, said = changed(service, Visit((fargo,)), "add", str(fargo))
    assert after.history == (fargo,) and "kept once" in said


def test_a_pasted_list_takes_bullets_numbers_and_ids_and_says_what_it_missed(service: Service) -> None:
    text = f"1. {FARGO}\n- Heat (1995)\n\n  187\nNo Such Film At All Whatever\n2) Fargo"
    after, said = pasted(service, Visit(), text)
    expected = [_index(service, title) for title in (FARGO, "Heat (1995)", "187")]
    assert list(after.history) == expected
    assert "No Such Film At All Whatever" in said


def test_a_year_like_title_is_not_taken_for_numbering(service: Service) -> None:
    after, _ = pasted(service, Visit(), "2 Days in the Valley\n101 Dalmatians (1996)")
    titles = [service.catalog[index].name for index in after.history]
    assert titles == ["2 Days in the Valley", "101 Dalmatians"]


def test_an_empty_paste_says_what_to_do(service: Service) -> None:
    assert "one title per line" in pasted(service, Visit(), " \n ")[1]


def test_buttons_move_remove_clear_and_undo(service: Service) -> None:
    visit = Visit((10, 11, 12))
    assert changed(service, visit, "up", "12")[0].history == (10, 12, 11)
    assert changed(service, visit, "down", "10")[0].history == (11, 10, 12)
    removed, _ = changed(service, visit, "remove", "11")
    assert removed.history == (10, 12)
    assert changed(service, removed, "undo", "")[0].history == (10, 11, 12)
    back = changed(service, removed, "undo", "")[0]
    assert changed(service, back, "redo", "")[0].history == (10, 12)
    assert changed(service, visit, "clear", "")[0].history == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [("add", "-1"), ("add", "999999"), ("case", "-1"), ("case", "9999"), ("dance", "3"), ("up", "x")],
)
def test_a_forged_press_changes_nothing(service: Service, name: str, value: str) -> None:
    assert changed(service, Visit((10, 11)), name, value)[0].history == (10, 11)


def test_anybody_can_be_looked_at_by_number_and_a_wrong_number_says_which_there_are(service: Service) -> None:
    user = service.people[-1]
    after, said = changed(service, Visit((3,)), "person", f" {user} ")
    assert after.case is not None and service.user_of(after.case) == user and said == ""
    for wrong in ("", "no one", "<b>"):
        kept, said = changed(service, Visit((3,)), "person", wrong)
        assert kept == Visit((3,)) and service.people[0] in said and "<b>" not in said


def test_the_examples_are_pressed_only_while_their_history_is_untouched(service: Service) -> None:
    case = service.visitors[0].case
    visit = Visit(service.cases[case].history, case)
    assert visitor_chips(service, visit, "one").count('aria-pressed="true"') == 1
    assert 'aria-pressed="true"' not in visitor_chips(service, visit.remove(visit.history[0]), "one")


def test_the_history_shows_every_title_in_order(service: Service) -> None:
    html = history_list(service, Visit((10, 11, 12)))
    places = [html.index(f'data-key="remove-{index}"') for index in (10, 11, 12)]
    assert places == sorted(places)


def test_a_visitor_is_told_where_the_next_title_really_stands(service: Service) -> None:
    case = service.visitors[0].case
    html = result(service, Visit(service.cases[case].history, case))
    whole = service.recommend(service.cases[case].history, k=len(service.catalog))
    rank = next(item.rank for item in whole.items if item.index == service.cases[case].target)
    assert f"rank {rank:,} here" in html
    assert html.count("<li ") == 10


def test_one_title_and_none_work_and_say_what_they_did(service: Service) -> None:
    assert "says little" in result(service, Visit((_index(service, FARGO),)))
    assert "most watched" in result(service, Visit())


def test_what_is_known_comes_back_only_where_it_is_asked_for(service: Service) -> None:
    visit = Visit(service.cases[service.visitors[0].case].history)
    known = set(visit.history)

    def ranked(new: bool) -> set[int]:
        html = result(service, visit, Asked(visit.place, new=new))
        return {int(index) for index in re.findall(r'<li data-item="(\d+)"', html)}

    assert not ranked(True) & known
    assert len(ranked(False)) == 10 and ranked(False) & known


@pytest.mark.parametrize("adapter", ["lora", "base"])
def test_another_adapter_ranks_and_says_that_it_has_no_experts(
    service: Service, adapter: AdapterName
) -> None:
    visit = Visit((10, 11, 12))
    html = result(service, visit, Asked(visit.place, adapter))
    assert f'data-adapter="{adapter}"' in html and "no experts" in html and 'class="experts"' not in html


def test_a_full_line_is_said_in_place_of_the_list(service: Service) -> None:
    line, service.turnstile.line = service.turnstile.line, -1
    try:
        assert "busy" in result(service, Visit((1, 2)))
    finally:
        service.turnstile.line = line


def test_the_three_lists_are_orders_of_the_same_titles_with_the_held_out_one(service: Service) -> None:
    case = service.visitors[0].case
    target = service.cases[case].target
    done = service.compare(service.cases[case].history, case)
    assert set(done.lists) == {"base", "lora", "ilora"}
    assert target in done.candidates and len(done.candidates) == 20
    for listed in done.lists.values():
        assert sorted(item.index for item in listed.items) == list(done.candidates)


def test_moves_shown_are_the_difference_of_the_ranks_shown(service: Service) -> None:
    case = service.visitors[0].case
    visit = Visit(service.cases[case].history, case)
    done = service.compare(visit.history, case)
    before = {item.index: item.rank for item in done.lists["lora"].items}
    html = compare.comparison(service, visit)
    ours = html[html.index('data-adapter="ilora"') :]
    for item in done.lists["ilora"].items:
        line = re.search(rf'data-item="{item.index}".*?</li>', ours)
        assert line is not None
        steps = before[item.index] - item.rank
        sign = "=" if steps == 0 else f"{'▲' if steps > 0 else '▼'}{abs(steps)}"
        assert f">{sign}<" in line.group()


def test_the_lists_that_come_in_two_steps_are_those_that_come_at_once(service: Service) -> None:
    case = service.visitors[0].case
    for visit in (Visit(service.cases[case].history, case), Visit((10, 11, 12))):
        early, whole = compare.comparing(service, visit)
        assert "Reading 20 titles" in early and early.count("<li ") == 40
        order = re.compile(r'data-item="(\d+)"')
        in_two, at_once = order.findall(whole), order.findall(compare.comparison(service, visit))
        if in_bf16(service.recommender):  # neighbours may change places
            in_two, at_once = sorted(in_two), sorted(at_once)
        assert in_two == at_once
        assert whole.count("<li ") == 60 and "Reading" not in whole
    assert list(compare.comparing(service, Visit())) == [compare.comparison(service, Visit())]


def test_an_own_history_is_compared_on_retrieved_titles_without_a_star(service: Service) -> None:
    html = compare.comparison(service, Visit((_index(service, FARGO), _index(service, "Heat (1995)"))))
    assert "routing retrieves" in html and "★" not in html
