"""Who is right: the running count says what the evaluation's functions say, and stands back for visitors."""

import threading

import pytest

from app.web import tally as tallying
from app.web.service import Service
from app.web.tally import Tally
from app.web.turnstile import Busy
from core.evaluation.asking import sampled_ranks
from core.evaluation.comparison import compare_paired
from core.recommendation import AdapterName


def test_the_count_is_what_asking_each_person_alone_gives(service: Service) -> None:
    people = tallying.order(service, tallying.SEED)[:4]
    after = next(tallying.asking(service, Tally(), ("lora", "ilora")))
    assert after.asked == 4
    for adapter in ("lora", "ilora"):
        assert list(after.hits[adapter]) == [_right_alone(service, case, adapter) for case in people]


def _right_alone(service: Service, case: int, adapter: AdapterName) -> bool:
    """The naive twin: one person's list of the evaluation's candidates, and what comes first in it."""
    asked = service.cases[case]
    listed = service.recommender.recommend(
        asked.history, adapter=adapter, candidates=service.drawn(case), exclude_seen=False
    )
    return listed.items[0].index == asked.target


def test_asking_goes_on_where_it_was_stopped_and_other_adapters_begin_anew(service: Service) -> None:
    first = next(tallying.asking(service, Tally(), ("lora",)))
    second = next(tallying.asking(service, first, ("lora",)))
    assert second.hits["lora"][:4] == first.hits["lora"] and second.asked == 8
    assert next(tallying.asking(service, second, ("ilora",))).asked == 4


def test_the_order_of_people_is_a_seeds_and_asks_nobody_twice(service: Service) -> None:
    assert tallying.order(service, 7) == tallying.order(service, 7) != tallying.order(service, 8)
    assert sorted(tallying.order(service, 7)) == list(range(len(service.cases)))


def test_the_tally_waits_while_somebody_else_asks(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "PATIENCE", 0.2)
    release, inside = threading.Event(), threading.Event()

    def occupy() -> None:
        with service.turnstile.pass_through():
            inside.set()
            release.wait(20)

    visitor = threading.Thread(target=occupy)
    visitor.start()
    inside.wait(20)
    with pytest.raises(Busy):
        next(tallying.asking(service, Tally(), ("lora",)))
    release.set()
    visitor.join()
    assert next(tallying.asking(service, Tally(), ("lora",))).asked == 4


def _tally(lora: int, ilora: int, both: int, neither: int) -> Tally:
    hits_lora = [True] * lora + [False] * ilora + [True] * both + [False] * neither
    hits_ilora = [False] * lora + [True] * ilora + [True] * both + [False] * neither
    return Tally(hits={"lora": tuple(hits_lora), "ilora": tuple(hits_ilora)})


def test_the_sentence_claims_what_the_pairs_carry() -> None:
    assert "Far too few" in tallying.sentence(_tally(0, 5, 1, 2))
    assert "no difference that this many people can show" in tallying.sentence(_tally(10, 12, 20, 60))
    assert "in favour of iLoRA so far" in tallying.sentence(_tally(5, 30, 40, 60))
    assert "in favour of LoRA so far" in tallying.sentence(_tally(30, 5, 40, 60))


def test_the_numbers_shown_are_those_of_the_evaluation(service: Service) -> None:
    tally = _tally(10, 12, 20, 60)
    told = compare_paired(tally.hits["lora"], tally.hits["ilora"], tally.seed, samples=tallying.SAMPLES)
    html = tallying.picture(service, tally)
    assert f"{100 * told.rate_b.low:.0f} to {100 * told.rate_b.high:.0f} %" in html
    assert "32 of 102" in html and "30 of 102" in html
    assert f"{100 * told.difference.mean:+.1f} points".replace("-", "−") in html


def test_right_is_the_evaluations_first_rank(service: Service) -> None:
    cases = tallying.order(service, 3)[:3]
    asked = [service.cases[case] for case in cases]
    candidates = service.candidates(cases)
    scores = service.recommender.score_candidates([c.history for c in asked], candidates, "lora")
    assert service.right(cases, "lora") == (sampled_ranks(scores, asked, candidates) == 1).tolist()
