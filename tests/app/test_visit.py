"""A visitor's state: every change makes a new visit, and one step back is always possible."""

from hypothesis import given
from hypothesis import strategies as st

from app.web.visit import MAX_HISTORY, STEPS, Visit

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


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "up", "clear"]), st.integers(0, 9)), max_size=15
)


def _after(visit: Visit, name: str, item: int) -> Visit:
    if name == "up":
        return visit.move(item, -1)
    return visit.clear() if name == "clear" else getattr(visit, name)(item)


@given(CHANGES)
def test_undoing_everything_and_redoing_it_passes_through_the_same_places(
    changes: list[tuple[str, int]],
) -> None:
    visit = Visit().become(3, (7, 8, 9))
    places = [visit.place]
    for change in changes:
        after = _after(visit, *change)
        places += [after.place] if after is not visit else []
        visit = after
    for place in reversed(places[:-1]):
        visit = visit.undo()
        assert visit.place == place
    for place in places[1:]:
        visit = visit.redo()
        assert visit.place == place
    assert visit.redo() is visit


def test_undo_restores_whose_history_it_was() -> None:
    changed = Visit().become(3, (7, 8, 9)).remove(8)
    assert changed.place == ((7, 9), None)
    assert changed.undo().place == ((7, 8, 9), 3)


def test_a_change_after_an_undo_ends_what_could_be_redone() -> None:
    visit = Visit((1, 2)).add(3).undo().add(4)
    assert visit.redo() is visit and visit.undo().history == (1, 2)


def test_steps_back_are_limited_however_many_changes() -> None:
    visit = Visit()
    for item in range(3 * STEPS):
        visit = visit.add(item)
    assert len(visit.past) == STEPS


def test_a_change_that_changes_nothing_keeps_the_visitor() -> None:
    visitor = Visit().become(3, (7, 8, 9))
    assert visitor.add(8) is visitor
    assert visitor.remove(1) is visitor
    assert visitor.move(7, -1) is visitor
