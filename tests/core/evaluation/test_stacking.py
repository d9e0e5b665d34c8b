"""The stack: neighbours score as the baselines they come from, weights are of greatest likelihood."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.collaborative import Neighbours, Stack, StackedRouter
from core.encoder import EncoderShape, SASRec, TorchRouter
from core.evaluation import stacking
from core.evaluation.ease import EASE
from core.evaluation.stacking import fit_neighbours, fit_stack, fit_weights, stack_of
from core.evaluation.tuning import tune_ease, tune_item_knn
from tests.core.evaluation.toy import ITEMS, toy_dataset

HALF = 2e-3
"""Relative rounding of half precision, several numbers summed."""


@pytest.fixture
def encoder() -> SASRec:
    torch.manual_seed(1)
    encoder = SASRec(EncoderShape(ITEMS, width=8, layers=1, max_length=20))
    torch.nn.init.normal_(encoder.items.weight, std=0.5)
    return encoder.eval()


@pytest.fixture
def stack(encoder: SASRec) -> Stack:
    dataset = toy_dataset()
    found = stack_of(dataset, dataset.split("loo"), encoder)
    assert found is not None
    return found


def test_neighbours_score_as_the_baselines_do() -> None:
    split = toy_dataset().split("loo")
    histories = [case.history for case in split.test]
    fitted = fit_neighbours(split, ITEMS)
    knn, ease = tune_item_knn(split, ITEMS).baseline, tune_ease(split, ITEMS).baseline
    assert isinstance(ease, EASE) and set(fitted) == {"ItemKNN", "EASE"}
    for name, baseline in (("ItemKNN", knn), ("EASE", ease)):
        assert np.allclose(fitted[name].scores(histories), baseline.score(histories), atol=1e-6)
    assert not fitted["EASE"].scores([()]).any(), "nothing is said of nobody"


def test_weights_find_the_part_that_chose_the_targets() -> None:
    generator = np.random.default_rng(3)
    split = toy_dataset().split("loo")
    cases = [case for case in split.validation for _ in range(4)]
    told, noise = generator.normal(size=(2, len(cases), ITEMS)).astype(np.float32)
    chosen = []
    for row, case in enumerate(cases):  # targets drawn with chances exp(2 * told)
        logits = 2 * told[row].astype(np.float64)
        logits[list(case.history)] = -np.inf
        chances = np.exp(logits - logits.max())
        chosen.append(replace(case, target=int(generator.choice(ITEMS, p=chances / chances.sum()))))
    weights = fit_weights([told, noise], chosen)
    assert abs(float(weights[0]) - 2) < 0.3 and abs(float(weights[1])) < 0.2
    assert torch.equal(weights, fit_weights([told, noise], chosen)), "the same parts, the same weights"
    assert torch.allclose(fit_weights([10 * told, noise], chosen)[0] * 10, weights[0], atol=1e-2)


def test_the_stack_is_the_weighted_sum(stack: Stack, encoder: SASRec) -> None:
    histories = [case.history for case in toy_dataset().split("loo").test]
    told = TorchRouter(encoder, None).route(histories).scores
    before = told.copy()
    expected = stack.encoder * told + stack.popularity
    for name, own in stack.neighbours.items():
        expected = expected + np.float32(stack.weights[name]) * own.scores(histories)
    assert np.allclose(stack.scores(histories, told), expected, atol=1e-4)
    assert np.array_equal(told, before), "the encoder's scores are left as they are"


def test_a_bundle_keeps_it_in_half_precision(stack: Stack) -> None:
    near = replace(stack, neighbours={name: own.nearest(ITEMS) for name, own in stack.neighbours.items()})
    again = Stack.of_tensors(near.tensors())
    assert again is not None and set(again.neighbours) == {"ItemKNN", "EASE"}
    histories, nothing = [(1, 2, 3), (4,)], np.zeros((2, ITEMS), dtype=np.float32)
    one, other = stack.scores(histories, nothing), again.scores(histories, nothing)
    assert np.abs(one - other).max() <= HALF * np.abs(one).max()
    assert Stack.of_tensors({}) is None
    with pytest.raises(TypeError, match="ItemKNN is a whole table"):
        stack.tensors()
    with pytest.raises(KeyError):
        Stack.of_tensors({k: t for k, t in near.tensors().items() if "decay" not in k})


def test_a_router_retrieves_by_the_stack(encoder: SASRec) -> None:
    table = np.zeros((ITEMS, ITEMS), dtype=np.float32)
    table[3, 7] = 100.0  # whoever had 3 wants 7
    stack = Stack({"ItemKNN": Neighbours(table, 0.5)}, {"ItemKNN": 1.0}, np.zeros(ITEMS, np.float32))
    plain = TorchRouter(encoder, None, retrieve=5)
    routed, own = StackedRouter(plain, stack).route([(3,), (2,)]), plain.route([(3,), (2,)])
    assert routed.retrieved.shape == (2, 5) and routed.retrieved[0, 0] == 7
    assert np.array_equal(routed.retrieved[1], own.retrieved[1]) and np.array_equal(routed.gate, own.gate)
    assert StackedRouter(plain, stack).num_experts == plain.num_experts


def test_an_encoder_that_knows_worse_than_nothing_has_no_weight() -> None:
    split = toy_dataset().split("loo")
    wrong = np.zeros((len(split.validation), ITEMS), dtype=np.float32)
    for row, case in enumerate(split.validation):
        wrong[row, case.target] = -1.0
    stack = fit_stack(split, wrong, fit_neighbours(split, ITEMS))
    assert stack is not None and stack.encoder == 0
    histories = [case.history for case in split.validation]
    nothing = np.zeros_like(wrong)
    assert np.array_equal(stack.scores(histories, wrong), stack.scores(histories, nothing))


def test_there_is_none_where_it_cannot_be_fitted(encoder: SASRec, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = toy_dataset()
    split = dataset.split("loo")
    assert stack_of(dataset, replace(split, validation=()), encoder) is None
    monkeypatch.setattr(stacking, "MOST_ITEMS", ITEMS - 1)
    assert fit_neighbours(split, ITEMS) == {}
    told = np.zeros((len(split.validation), ITEMS), dtype=np.float32)
    assert fit_stack(split, told, {}) is None


def test_weights_are_those_of_the_neighbours_that_are_kept(stack: Stack, encoder: SASRec) -> None:
    dataset = toy_dataset()
    split = dataset.split("loo")
    few = stack_of(dataset, split, encoder, nearest=2)
    assert few is not None and {own.items.shape for own in few.neighbours.values()} == {(ITEMS, 2)}  # type: ignore[union-attr]
    told = TorchRouter(encoder, None).route([case.history for case in split.validation]).scores
    kept = {name: own.nearest(2) for name, own in fit_neighbours(split, ITEMS).items()}
    fitted = fit_stack(split, told, kept)
    assert fitted is not None and few.weights == pytest.approx(fitted.weights, rel=1e-3)
    assert few.weights != pytest.approx(stack.weights, rel=0.05), "other than those of the whole tables"


def test_nearest_with_room_for_all_says_what_the_table_says() -> None:
    table = np.random.default_rng(3).normal(size=(ITEMS, ITEMS)).astype(np.float16).astype(np.float32)
    whole, histories = Neighbours(table, 0.5), [(1, 2, 3), (), (4, 4, 0)]
    assert np.allclose(whole.nearest(ITEMS).scores(histories), whole.scores(histories), atol=1e-2)


def test_nearest_keeps_what_is_largest_for_or_against() -> None:
    table = np.zeros((ITEMS, ITEMS), dtype=np.float32)
    table[0, :4] = (0.1, -3.0, 2.0, 0.5)
    told = Neighbours(table, 0.5).nearest(2).scores([(0,)])[0]
    assert told[:4].tolist() == [0.0, -3.0, 2.0, 0.0]
