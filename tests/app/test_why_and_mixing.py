"""Why a list is as it is, and what the sliders make of it, with the real bundle."""

import re
from string import ascii_uppercase

import pytest

from app.web import mixing, recommend, why
from app.web.recommend import Asked
from app.web.service import Service
from app.web.visit import Visit


@pytest.fixture(scope="module")
def visit(service: Service) -> Visit:
    case = service.visitors[1].case
    return Visit(service.cases[case].history, case)


@pytest.fixture(scope="module")
def own(service: Service, visit: Visit) -> mixing.Own:
    return mixing.own_list(service, visit)


def test_the_most_telling_title_is_the_one_whose_absence_moves_most(service: Service, visit: Visit) -> None:
    done = recommend.explanation(service, Asked(visit.place))
    assert done is not None
    strongest = max(done.omissions, key=lambda omission: omission.shift)
    title = service.catalog[strongest.index].title
    assert title in why.most_telling(service, done)
    panel = why.why(service, done)
    assert panel.index(title) < panel.index("<ol") and panel.count("<li>") == len(visit.history)
    assert " open" not in panel.split(">")[0] and " open" in why.why(service, done, opened=True).split(">")[0]


def test_nothing_is_explained_where_nothing_was_read(service: Service) -> None:
    assert recommend.explanation(service, Asked(((), None))) is None
    assert recommend.explanation(service, Asked(((1, 2), None), "base")) is None


def test_a_refused_explanation_is_not_asked_for_again_by_itself(service: Service) -> None:
    line, service.turnstile.line = service.turnstile.line, -1
    try:
        with pytest.raises(Exception, match="busy") as error:
            recommend.explanation(service, Asked(((1, 2), None)))
    finally:
        service.turnstile.line = line
    shown = why.refused(error.value)  # type: ignore[arg-type]
    assert "busy" in shown and 'data-act="why"' in shown and "data-wait" not in shown


def test_presets_are_the_mixtures_that_they_say(service: Service, visit: Visit, own: mixing.Own) -> None:
    experts = service.recommender.num_experts
    assert mixing.preset(service, visit, "own") is None
    assert mixing.preset(service, visit, "even") == (1 / experts,) * experts
    assert mixing.preset(service, visit, "only-2") == tuple(float(own == 2) for own in range(experts))
    other = service.visitors[0].case
    theirs = mixing.preset(service, visit, f"case-{other}")
    assert theirs == pytest.approx(service.recommend(service.cases[other].history).gate, abs=1e-6)
    assert theirs != pytest.approx(own.gate, abs=1e-3)
    for forged in (f"only-{experts}", "case--1", "case-9999", "only-x", ""):
        assert mixing.preset(service, visit, forged) is None


@pytest.mark.parametrize("text", ["", "0,0,0,0", "1,2,3", "1,2,3,nan", "1,2,3,-4", "a,b,c,d", "1,1,1,1e999"])
def test_sliders_that_are_no_mixture_change_nothing(text: str) -> None:
    assert mixing.read_sliders(text, 4) is None


def test_sliders_are_scaled_to_shares() -> None:
    assert mixing.read_sliders("10,20,30,40", 4) == pytest.approx((0.1, 0.2, 0.3, 0.4))


def test_every_slider_says_whose_it_is_and_where_it_stands(service: Service, own: mixing.Own) -> None:
    html = mixing.sliders(service, own.gate)
    for expert, weight in enumerate(own.gate):
        slider = re.search(rf'<input id="mix-{expert}".*?>', html)
        assert slider is not None and f'value="{100 * weight:.0f}"' in slider.group()
        assert f'aria-label="Expert {ascii_uppercase[expert]}: ' in slider.group()


def test_moves_are_counted_from_the_own_list_and_what_left_is_named(
    service: Service, visit: Visit, own: mixing.Own
) -> None:
    mixture = tuple(float(own == 0) for own in range(service.recommender.num_experts))
    html = mixing.board(service, visit, own, mixture)
    now = service.recommend(visit.history, gate=mixture).items
    for item in now:
        line = re.search(rf'<li data-item="{item.index}".*?</li>', html)
        assert line is not None
        steps = own.ranks[item.index] - item.rank
        sign = "=" if steps == 0 else f"{'▲' if steps > 0 else '▼'}{abs(steps)}"
        assert f">{sign}<" in line.group()
        assert (f"was {own.ranks[item.index]}</small>" in line.group()) is (steps != 0)
    gone = {item.index for item in own.top} - {item.index for item in now}
    assert ("No longer among the first" in html) is bool(gone)


def test_the_own_mixture_is_the_list_of_the_first_tab_without_moves(
    service: Service, visit: Visit, own: mixing.Own
) -> None:
    html = mixing.board(service, visit, own, None)
    listed = [int(index) for index in re.findall(r'<li data-item="(\d+)"', html)]
    assert listed == [item.index for item in service.recommend(visit.history).items]
    assert 'class="move' not in html


def test_without_a_history_there_is_nothing_to_mix(service: Service) -> None:
    nobody = mixing.first(service, Visit())
    assert "nothing to mix" in nobody.board and "<li" not in nobody.board
