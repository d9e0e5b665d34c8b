"""What a comparison says: the right winner, the right numbers, and no more than n people can show."""

import dataclasses
import re

import numpy as np
import pytest

from core.evaluation.comparison import (
    PairedComparison,
    compare_paired,
    correct_over_datasets,
    mean_relative_improvement,
)
from core.evaluation.intervals import Difference, Rate
from core.evaluation.ruling import Opponent, counts_as_better
from core.evaluation.significance import McNemar


def _hits(n: int, only_a: int, only_b: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    a[:both] = b[:both] = True
    a[both : both + only_a] = True
    b[both + only_a : both + only_a + only_b] = True
    return a, b


def _compare(only_a: int, only_b: int, n: int = 943, a: str = "LoRA", b: str = "iLoRA") -> PairedComparison:
    return compare_paired(*_hits(n, only_a, only_b, both=300), seed=1, a=a, b=b, samples=2000)


def test_numbers_by_hand() -> None:
    found = _compare(only_a=40, only_b=80)
    assert (found.n, found.mcnemar.only_a, found.mcnemar.only_b) == (943, 40, 80)
    assert found.rate_a.mean == pytest.approx(340 / 943) and found.rate_b.mean == pytest.approx(380 / 943)
    assert found.difference.mean == pytest.approx(40 / 943)
    assert found.relative == pytest.approx(40 / 340)
    # The usual approximation: 2.8 standard errors of a difference at this discordance.
    assert found.detectable == pytest.approx(2.8 * (120 / 943 / 943) ** 0.5, rel=0.02)


def test_b_better_is_positive_and_named_and_so_is_a() -> None:
    up, down = _compare(only_a=40, only_b=80), _compare(only_a=80, only_b=40)
    assert up.difference.low > 0 > down.difference.high
    assert (up.winner, down.winner) == ("iLoRA", "LoRA")
    assert up.verdict_sentence.endswith("n = 943: iLoRA is better.")
    assert down.verdict_sentence.endswith("n = 943: LoRA is better.")
    assert "difference +4.2 points" in up.verdict_sentence
    assert "difference −4.2 points [−" in down.verdict_sentence


def test_the_sentence_to_the_letter() -> None:
    told = PairedComparison(
        a="LoRA",
        b="iLoRA",
        rate_a=Rate(0.418, 0.387, 0.450, 943),
        rate_b=Rate(0.441, 0.409, 0.473, 943),
        difference=Difference(0.023, 0.004, 0.041, 943),
        relative=0.055,
        mcnemar=McNemar(30, 52, 0.02),
        detectable=0.0267,
    )
    assert told.verdict_sentence == (
        "iLoRA 44.1 % [40.9, 47.3] against LoRA 41.8 % [38.7, 45.0]: difference +2.3 points [0.4, 4.1], "
        "p = .02, n = 943: iLoRA is better."
    )
    unsure = dataclasses.replace(
        told, difference=Difference(0.0004, -0.02, 0.021, 943), mcnemar=McNemar(40, 41, 1.0)
    )
    assert unsure.verdict_sentence == (
        "iLoRA 44.1 % [40.9, 47.3] against LoRA 41.8 % [38.7, 45.0]: difference +0.0 points [−2.0, 2.1], "
        "p > .99: no difference that 943 people can show; the smallest this n would show is 2.7 points."
    )


def test_a_difference_needs_the_interval_and_the_test() -> None:
    sure = _compare(only_a=40, only_b=80)
    assert dataclasses.replace(sure, mcnemar=McNemar(40, 80, 0.06)).winner is None
    assert dataclasses.replace(sure, difference=Difference(0.04, 0.0, 0.08, 943)).winner is None


def test_holm_can_take_a_verdict_back_and_says_so() -> None:
    edge = dataclasses.replace(_compare(only_a=40, only_b=80), mcnemar=McNemar(40, 80, 0.03))
    nothing = dataclasses.replace(_compare(only_a=40, only_b=41), mcnemar=McNemar(40, 41, 1.0))
    assert edge.winner == "iLoRA"
    corrected = correct_over_datasets({"movielens": edge, "lastfm": nothing, "steam": nothing})
    assert corrected["movielens"].p == pytest.approx(0.09)
    assert corrected["movielens"].winner is None
    assert "p = .03 (p = .09 by Holm over 3 data sets)" in corrected["movielens"].verdict_sentence


def test_relative_improvement_is_averaged_over_data_sets() -> None:
    better, worse = _compare(only_a=40, only_b=80), _compare(only_a=80, only_b=40)
    assert mean_relative_improvement([better, worse]) == pytest.approx((40 / 340 - 40 / 380) / 2)
    nobody = compare_paired([0, 0], [0, 1], seed=0, samples=10)
    assert nobody.relative is None
    assert mean_relative_improvement([better, nobody]) is None
    assert mean_relative_improvement([]) is None


def test_draws_of_a_person_are_no_more_people() -> None:
    a, b = _hits(200, 20, 45, both=50)
    once = compare_paired(a, b, seed=1, samples=500)
    copied = compare_paired(*(np.repeat(h[:, None], 5, axis=1) for h in (a, b)), seed=1, samples=500)
    assert copied == once


def test_unpaired_hits_are_refused() -> None:
    with pytest.raises(ValueError, match="paired values"):
        compare_paired([1, 0], [1, 0, 1], seed=0)


def _against(**winners: bool) -> dict[Opponent, PairedComparison]:
    names = {"lora": "LoRA", "static": "the static gate", "shuffled": "the shuffled gate"}
    return {
        name: _compare(only_a=40, only_b=80 if beaten else 45, a=names[name])  # type: ignore[misc]
        for name, beaten in winners.items()
    }


def test_ilora_counts_as_better_only_when_it_beats_all_three() -> None:
    ruling = counts_as_better(_against(lora=True, static=True, shuffled=True))
    assert ruling.better
    assert ruling.reason == ("iLoRA counts as better: it beats LoRA, the static gate and the shuffled gate.")


@pytest.mark.parametrize("unbeaten", ["lora", "static", "shuffled"])
def test_one_unbeaten_opponent_is_enough_not_to_count(unbeaten: str) -> None:
    against = _against(**{name: name != unbeaten for name in ("lora", "static", "shuffled")})
    ruling = counts_as_better(against)
    assert not ruling.better
    assert against[unbeaten].a in ruling.reason  # type: ignore[index]
    assert ("noise or capacity" in ruling.reason) == (unbeaten != "lora")


def test_being_beaten_by_lora_is_not_being_better() -> None:
    against = _against(lora=True, static=True, shuffled=True)
    against["lora"] = _compare(only_a=80, only_b=40)
    assert not counts_as_better(against).better


def test_without_a_control_nothing_counts_as_better() -> None:
    ruling = counts_as_better(_against(lora=True, static=True))
    assert not ruling.better and re.search("no comparison with shuffled", ruling.reason)
    assert not counts_as_better({}).better


def test_one_method_on_one_set_of_people_is_judged() -> None:
    against = _against(lora=True, static=True, shuffled=True)
    against["static"] = _compare(only_a=40, only_b=80, n=944, a="the static gate")
    with pytest.raises(ValueError, match="943 people, iLoRA on 944 people"):
        counts_as_better(against)
