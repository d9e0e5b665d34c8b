"""What counts as an answer, and how answers are counted."""

import math

import numpy as np

from core.data.dataset import Case
from core.evaluation.answering import (
    INVALID,
    Answers,
    answer_ranks,
    column_of,
    until_stop,
)
from core.evaluation.metrics import hit_rate_at, hit_rate_at_1, mrr, ndcg_at

ALIEN, ALIENS, HEAT = (43734,), (43734, 99), (5, 6, 7)
"""Token ids of three titles; the first is a part of the second."""


def test_a_substring_of_a_title_is_not_valid() -> None:
    assert column_of(ALIEN, [HEAT, ALIENS]) == INVALID  # "Alien" for "Aliens"
    assert column_of(ALIENS, [ALIEN, HEAT]) == INVALID  # "Aliens" for "Alien"
    assert column_of(HEAT[1:], [HEAT]) == INVALID
    assert column_of((), [HEAT]) == INVALID
    assert column_of(ALIEN, [HEAT, ALIENS, ALIEN]) == 2
    assert column_of(ALIENS, [HEAT, ALIENS, ALIEN]) == 1


def test_a_title_of_two_candidates_names_neither() -> None:
    assert column_of(HEAT, [HEAT, ALIEN, HEAT]) == INVALID


def test_an_answer_ends_at_its_first_stop() -> None:
    assert until_stop([5, 6, 7, 2, 2, 2], (2, 198)) == (HEAT, True)
    assert until_stop([5, 6, 7, 198, 9, 2], (2, 198)) == (HEAT, True)
    assert until_stop([5, 6, 7], (2, 198)) == (HEAT, False)
    assert until_stop([2, 5], (2, 198)) == ((), True)


def test_invalid_answers_are_misses() -> None:
    cases = [Case(user, (), target) for user, target in enumerate((10, 20, 30, 40))]
    candidates = np.array([[1, 10], [20, 2], [3, 30], [4, 40]])
    answers = Answers(
        np.array([1, 1, INVALID, INVALID]), ("ten", "two", "thi", "")
    )  # right, wrong, none, none
    ranks = answer_ranks(answers, cases, candidates)
    assert ranks.tolist() == [1.0, math.inf, math.inf, math.inf]
    assert hit_rate_at_1(ranks) == 0.25
    assert answers.valid.tolist() == [True, True, False, False] and answers.valid_ratio == 0.5
    # No full ranking: whatever looks deeper finds no more than the answer itself.
    assert hit_rate_at(ranks, 20) == ndcg_at(ranks, 10) == mrr(ranks) == 0.25
