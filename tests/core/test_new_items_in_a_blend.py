"""New items, of which one opinion is missing, among items of which there are two."""

import numpy as np
import pytest

from core.ordering import blended, kept_in_place

RNG = np.random.default_rng(7)


def _places(scores: np.ndarray, row: int) -> list[int]:
    return np.argsort(np.argsort(-scores[row])).tolist()


def test_a_new_item_stands_where_the_model_alone_puts_it() -> None:
    alone = RNG.normal(size=(4, 50))
    both = 3 * alone + 5 * RNG.normal(size=(4, 50)) - 9
    new = np.zeros((4, 50), dtype=bool)
    new[0, [3, 20, 40]] = new[1, 49] = new[3, 0] = True
    told = kept_in_place(alone, both, new)
    assert np.array_equal(told[~new], both[~new])
    for row, column in np.argwhere(new):
        ahead_alone = int((alone[row][~new[row]] > alone[row, column]).sum())
        ahead = int((told[row][~new[row]] > told[row, column]).sum())
        assert ahead == ahead_alone


def test_new_items_keep_their_order_among_themselves_even_above_and_below_all_others() -> None:
    alone = np.array([[9.0, 8.0, 1.0, 2.0, -7.0, -9.0]])
    both = np.array([[0.0, 0.0, -3.0, -2.0, 0.0, 0.0]])
    told = kept_in_place(alone, both, np.array([[True, True, False, False, True, True]]))
    assert _places(told, 0) == [0, 1, 3, 2, 4, 5]
    assert told[0, 0] - told[0, 1] == pytest.approx(1)


def test_where_all_are_new_the_model_alone_speaks() -> None:
    alone = RNG.normal(size=(2, 5))
    told = kept_in_place(alone, np.zeros((2, 5)), np.ones((2, 5), dtype=bool))
    assert np.array_equal(told, alone)


def test_of_who_had_new_items_only_the_model_alone_speaks() -> None:
    alone, collaborative = RNG.normal(size=(2, 2, 30))
    nothing_new = np.zeros((2, 30), dtype=bool)
    told = blended(alone, collaborative, 2.0, nothing_new, np.array([True, False]))
    assert np.array_equal(told[1], alone[1])
    assert not np.allclose(told[0], alone[0])
