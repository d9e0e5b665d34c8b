"""A visitor's state: every change makes a new visit, and one step back is always possible."""

from hypothesis import given
from hypothesis import strategies as st

from app.web.visit import MAX_HISTORY, Visit

ITEMS = st.lists(st.integers(0, 50), unique=True, max_size=12)


@given(ITEMS, st.lists(st.integers(0, 50), max_size=20))
def test_adding_keeps_order_and_never_holds_a_title_twice(start: list[int], more: list[int]) -> None:
    after = Visit(tuple(start)).add(*more).history
    assert after[: len(start)] == tuple(start)
    assert len(set(after)) == len(after)
    assert set(after) == set(start) | set(more)


@given(ITEMS, st.integers(0, 50), st.integers(-15, 15))
def test_moving_changes_places_but_not_titles(start: list[int], item: int, steps: int) -> None:
    after = Visit(tuple(start)).move(item, steps).history
    assert sorted(after) == sorted(start)
    assert [i for i in after if i != item] == [i for i in start if i != item]
    if item in start:
        assert after.index(item) == min(max(start.index(item) + steps, 0), len(start) - 1)


def test_a_history_stops_growing_at_its_limit() -> None:
    assert len(Visit().add(*range(500)).history) == MAX_HISTORY


def test_undo_restores_history_and_whose_it_was_and_undoing_again_redoes() -> None:
    visitor = Visit().become(3, (7, 8, 9))
    changed = visitor.remove(8)
    assert (changed.history, changed.case) == ((7, 9), None)
    back = changed.undo()
    assert (back.history, back.case) == ((7, 8, 9), 3)
    assert back.undo().history == (7, 9)


def test_only_one_step_back_is_kept_however_many_changes() -> None:
    visit = Visit()
    for item in range(20):
        visit = visit.add(item)
    assert visit.before is not None and visit.before.before is None


def test_a_change_that_changes_nothing_keeps_the_visitor() -> None:
    visitor = Visit().become(3, (7, 8, 9))
    assert visitor.add(8) is visitor
    assert visitor.remove(1) is visitor
    assert visitor.move(7, -1) is visitor
