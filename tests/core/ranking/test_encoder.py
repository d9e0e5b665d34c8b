"""The encoder: causal, blind to padding, at ease with every length, and able to learn."""

import numpy as np
import pytest
import torch

from core.data.dataset import Dataset
from core.encoder import EncoderShape, SASRec, TorchRouter, pad_histories
from core.training.encoder_training import cut_windows, full_ranking_ndcg, train_encoder
from core.training.recipe import EncoderRecipe


@pytest.fixture(scope="module")
def small() -> SASRec:
    torch.manual_seed(1)
    encoder = SASRec(EncoderShape(30, width=16, max_length=8)).eval()
    with torch.no_grad():
        encoder.items.weight *= 30
    return encoder


def test_a_state_does_not_see_later_items(small: SASRec) -> None:
    a, b = small(torch.tensor([[1, 2, 3, 4]])), small(torch.tensor([[1, 2, 9, 9]]))
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert (a[:, 3:] - b[:, 3:]).abs().amax() > 1e-3


def test_padding_changes_no_state(small: SASRec) -> None:
    padded = pad_histories([[1, 2, 3], [4], []], 30, 8)
    together = small.last_state(padded)
    for row, history in enumerate([[1, 2, 3], [4], []]):
        torch.testing.assert_close(small.last_state(pad_histories([history], 30, 8))[0], together[row])


def test_only_the_last_items_of_a_long_history_are_read(small: SASRec) -> None:
    router = TorchRouter(small, None, retrieve=5)
    long = list(range(20))
    np.testing.assert_array_equal(router.route([long]).sequence, router.route([long[-8:]]).sequence)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="multiple"):
        SASRec(EncoderShape(30, width=10, heads=3))


def test_windows_cover_every_position_once() -> None:
    sequences = [tuple(range(3)), tuple(range(100, 141)), (7, 8)]
    windows = cut_windows(sequences, 10, np.random.default_rng(0))
    predicted = sorted(item for window in windows for item in window[1:])
    assert predicted == sorted(item for sequence in sequences for item in sequence[1:])
    assert max(map(len, windows)) <= 11


def test_training_beats_chance_and_keeps_its_best_epoch(movielens: Dataset) -> None:
    split = movielens.split("loo")
    epochs = []
    recipe = EncoderRecipe(width=32, layers=1, max_epochs=4, batch_size=128, max_length=20)
    trained = train_encoder(movielens, split, recipe, seed=1, watch=epochs.append)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert all(epoch.seconds > 0 for epoch in epochs)
    assert trained.validation == max(epoch.validation for epoch in epochs)
    assert full_ranking_ndcg(trained.encoder, split.validation) == pytest.approx(trained.validation)
    chance = np.mean(1 / np.log2(np.arange(1, 11) + 1)) * 10 / len(movielens.catalog)
    assert trained.validation > 4 * chance
