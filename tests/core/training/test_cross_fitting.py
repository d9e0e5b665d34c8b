"""What is said of a training row by encoders that never saw its user."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.encoder import EncoderShape, SASRec, pad_histories
from core.errors import RecipeError, RunError
from core.training.cross_fitting import (
    alignments,
    cross_fitted,
    others_opinion,
    others_states,
    tail_states,
)
from core.training.finished import read_finished
from core.training.prepare import shared_digest
from core.training.recipe import Recipe, load_recipe
from core.training.run import train
from tests.core.evaluation.toy import ITEMS, toy_dataset

Make = Callable[..., Recipe]
TINY = ("encoder.max_epochs=1", "encoder.width=8", "encoder.layers=1", "model.folds=2")
QUICK = load_recipe("demo-cpu", TINY)


def encoder(seed: int = 1) -> SASRec:
    torch.manual_seed(seed)
    made = SASRec(EncoderShape(ITEMS, width=8, layers=1, max_length=20))
    torch.nn.init.normal_(made.items.weight, std=0.5)
    return made.eval()


def same(one: SASRec, other: SASRec) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_encoder_does_not_know_the_users_it_is_asked_about() -> None:
    split = toy_dataset().split("loo")
    whole = cross_fitted(split, ITEMS, QUICK)
    sequences = list(split.train)
    place = split.train_users.index(4)  # of fold 0
    sequences[place] = tuple(reversed(sequences[place]))
    changed = cross_fitted(replace(split, train=tuple(sequences)), ITEMS, QUICK)
    assert len(whole) == 2
    assert same(whole[0], changed[0]), "fold 0's encoder never read user 4"
    assert not same(whole[1], changed[1])


def test_more_folds_know_more_users() -> None:
    split = toy_dataset().split("loo")
    recipe = load_recipe("demo-cpu", [*TINY, "model.folds=3"])
    folds = cross_fitted(split, ITEMS, recipe)
    sequences = list(split.train)
    place = split.train_users.index(4)  # of fold 1 of three
    sequences[place] = tuple(reversed(sequences[place]))
    changed = cross_fitted(replace(split, train=tuple(sequences)), ITEMS, recipe)
    assert [same(*pair) for pair in zip(folds, changed, strict=True)] == [False, True, False]


def test_a_fold_without_users_is_told() -> None:
    recipe = load_recipe("demo-cpu", [*TINY, "model.folds=1000"])
    with pytest.raises(RecipeError, match="fewer folds"):
        cross_fitted(toy_dataset().split("loo"), ITEMS, recipe)


def test_each_row_is_answered_by_the_encoder_of_its_users_fold() -> None:
    folds = (encoder(1), encoder(2))
    rows = [(1, 2, 3), (4, 5), (6,)]
    history = pad_histories(rows, ITEMS, 3)
    said = others_opinion(folds, history, torch.tensor([4, 7, 9]), tail=3)
    assert said.shape == (3, 3, ITEMS)
    for row, (items, fold) in enumerate(zip(rows, (0, 1, 1), strict=True)):
        own = folds[fold]
        alone = own.score(own.last_state(pad_histories([items], ITEMS, 3))).log_softmax(-1)[0]
        assert torch.allclose(said[row, -1], alone, atol=1e-5)
    assert torch.allclose(said.exp().sum(-1), torch.ones(3, 3), atol=1e-4)


def test_states_of_prefixes_stand_at_the_right() -> None:
    own, items = encoder(), (1, 2, 3)
    states = tail_states(own, pad_histories([items, (9,)], ITEMS, 3), tail=4)
    for back in range(4):
        prefix = items[: len(items) - back]
        alone = own.last_state(pad_histories([prefix], ITEMS, 3))[0]
        assert torch.allclose(states[0, 3 - back], alone, atol=1e-5)
    assert torch.equal(states[1, 0], states[1, 2]), "shorter rows repeat the state after no item"


def test_states_of_others_are_brought_into_the_serving_space() -> None:
    """An encoder that says the same in other coordinates is understood; in its own it is not."""
    served, other = encoder(1), encoder(1)
    with torch.no_grad():  # the same states, mirrored
        other.norm.weight.mul_(-1)
        other.norm.bias.mul_(-1)
    split = toy_dataset().split("loo")
    maps = alignments((served, other), served, split)
    history = pad_histories([case.history for case in split.test[:40]], ITEMS, 20)
    wanted = tail_states(served, history, 1)[:, 0]
    read = others_states((served, other), maps, history, torch.arange(40) % 2, tail=1)[:, 0]
    assert (read - wanted).abs().mean() < 0.1 * wanted.abs().mean(), "both folds, up to the ridge"
    mirrored = tail_states(other, history, 1)[:, 0]
    assert torch.allclose(mirrored, -wanted, atol=1e-5)


def test_a_gate_can_read_people_through_encoders_that_never_saw_them(
    quick_recipe: Make, tmp_path: Path
) -> None:
    short = ("adapter.gate_init=random", "run.max_steps=4")
    settings = ("adapter.gate_cross_fitted=true", *short)
    summary = train(quick_recipe(*settings, method="ilora"), tmp_path / "run")
    assert len(read_finished(tmp_path / "run").prepared.folds) == 2
    train(quick_recipe(*settings, method="lora"), tmp_path / "lora")
    lora = read_finished(tmp_path / "lora").prepared
    assert lora.folds == (), "without a gate nothing is read through them"
    assert same(lora.encoder, read_finished(tmp_path / "run").prepared.encoder)
    assert shared_digest(tmp_path / "lora") == shared_digest(tmp_path / "run"), "they can be in one bundle"
    plain = train(quick_recipe(*short, method="ilora"), tmp_path / "plain")
    assert summary["last_log"]["loss"] != plain["last_log"]["loss"]
    with pytest.raises(RecipeError, match="encoders of other users"):
        train(quick_recipe(*settings, f"start_from={tmp_path / 'plain'}", method="ilora"), tmp_path / "on")


def test_a_run_learns_beside_other_users_encoders(quick_recipe: Make, tmp_path: Path) -> None:
    recipe = quick_recipe("model.residual=1", "model.folds=3", method="lora")
    summary = train(recipe, tmp_path / "run")
    prepared = read_finished(tmp_path / "run").prepared
    assert len(prepared.folds) == 3 and not same(*prepared.folds[:2])
    assert 0 < summary["best_validation_hr1"] <= 1
    alone = train(quick_recipe(method="lora"), tmp_path / "alone")
    assert read_finished(tmp_path / "alone").prepared.folds == ()
    assert summary["last_log"]["loss"] < alone["last_log"]["loss"], "the encoder helps from the first step"
    on = quick_recipe(f"start_from={tmp_path / 'run'}", "mode=branch", method="lora")
    with pytest.raises(RunError, match="added in catalogue mode only"):
        train(on, tmp_path / "on")


@pytest.mark.parametrize("mode", ["branch", "generate"])
def test_an_encoder_is_added_in_catalogue_mode_only(mode: str) -> None:
    with pytest.raises(RecipeError, match=r'model\.residual=1 needs mode="catalogue"'):
        load_recipe("demo-cpu", ["model.residual=1"], mode=mode)
