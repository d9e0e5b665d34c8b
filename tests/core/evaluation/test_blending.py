"""A blend takes from each opinion what validation users found useful."""

import numpy as np
import pytest

from core.data.dataset import Case
from core.evaluation.asking import full_ranks
from core.evaluation.blending import BLEND_WEIGHTS, blend, choose_blend_weight, choose_heard_weight
from core.evaluation.summary import ndcg_gains

CASES = [Case(user, (user,), (7 * user + 3) % 40) for user in range(40)]
TARGETS = np.eye(40, dtype=np.float32)[[case.target for case in CASES]]


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(40, 40)).astype(np.float32)


def test_a_blend_is_a_product_of_two_opinions_whatever_their_units() -> None:
    first, second = _noise(0), _noise(1)
    p, q = (np.exp(s) / np.exp(s).sum(1, keepdims=True) for s in (first, second))
    assert np.exp(blend(first, second, 0.5)) == pytest.approx(p * q**0.5, rel=1e-5)
    assert blend(first + 100, second - 7, 0.5) == pytest.approx(blend(first, second, 0.5), abs=1e-4)


def test_noise_gets_no_weight_and_knowledge_gets_much() -> None:
    knows, guesses = 3 * TARGETS + _noise(2), 3 * _noise(3)
    assert choose_blend_weight(knows, guesses, CASES).weight <= 0.1
    assert choose_blend_weight(guesses, knows, CASES).weight == max(BLEND_WEIGHTS)


def test_two_halves_of_the_truth_are_blended() -> None:
    halves = [TARGETS * np.float32(4) * (np.arange(40) % 2 == side)[:, None] for side in (0, 1)]
    first, second = halves[0] + _noise(4), halves[1] + _noise(5)
    choice = choose_blend_weight(first, second, CASES)
    assert 0.5 <= choice.weight <= 2
    tried = dict(choice.trials)
    assert tuple(tried) == BLEND_WEIGHTS
    assert choice.ndcg10 == tried[choice.weight] == max(tried.values()) > tried[0.0]


def test_where_the_second_opinion_changes_nothing_it_gets_no_weight() -> None:
    assert choose_blend_weight(TARGETS, np.zeros_like(TARGETS), CASES).weight == 0


def test_the_first_is_heard_as_far_as_nobody_can_tell_the_difference() -> None:
    """The least weight within a standard error of the best; plain knowledge still gets much."""
    first, second = TARGETS * 2 + _noise(6), TARGETS * 2 + _noise(7)
    best, heard = choose_blend_weight(first, second, CASES), choose_heard_weight(first, second, CASES)
    assert heard.weight <= best.weight and heard.trials == best.trials
    gains = {w: ndcg_gains(full_ranks(blend(first, second, w), CASES)) for w in BLEND_WEIGHTS}
    for weight in BLEND_WEIGHTS:
        worse = gains[best.weight] - gains[weight]
        near = worse.mean() <= worse.std() / len(CASES) ** 0.5
        assert near if weight == heard.weight else weight > heard.weight or not near
    assert choose_heard_weight(3 * _noise(3), 3 * TARGETS + _noise(2), CASES).weight >= 1
