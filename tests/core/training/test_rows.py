"""Training rows: causal, reproducible, drawn as the recipe says, and never from held-out items."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.dataset import Dataset, Split
from core.encoder import EncoderShape, SASRec, TorchRouter, pad_histories
from core.errors import RecipeError
from core.gate import Gate
from core.training.recipe import RowsRecipe, load_recipe
from core.training.rows import IGNORED, BranchRows, CatalogueRows, GenerateRows, Row, check_rows
from core.training.run import open_backbone, train
from core.training.trial import run_trial

COUNT = 400


@pytest.fixture(scope="module")
def loo(movielens: Dataset) -> Split:
    return movielens.split("loo")


def first_supervised(row: Row) -> int:
    return next(t for t, target in enumerate(row.targets) if target != IGNORED)


def test_gate_reads_only_what_lies_before_the_first_supervised_position() -> None:
    # Items of a user are all different here, so that a target in the gate's history cannot be a rewatch.
    split = Split("loo", (tuple(range(80)), tuple(range(100, 109))), (0, 1), (), ())
    rows = CatalogueRows(split, RowsRecipe(), COUNT, seed=1)
    lengths = Counter()
    for index in range(COUNT):
        row = rows[index]
        sequence = split.train[0] if row.history[0] < 100 else split.train[1]
        supervised = [t for t in row.targets if t != IGNORED]
        position = sequence.index(supervised[0])
        assert row.seen_by_gate == sequence[position - len(row.seen_by_gate) : position]
        assert not set(row.seen_by_gate) & set(supervised)
        lengths[len(row.seen_by_gate)] += 1
    assert max(lengths) == 50 and lengths[0] > 0  # long histories and none at all, as when serving


def test_targets_cannot_move_the_gate_and_a_planted_leak_would(loo: Split) -> None:
    torch.manual_seed(1)
    encoder = SASRec(EncoderShape(1682)).eval()
    with torch.no_grad():
        encoder.items.weight[:-1] *= 30
    gate = Gate(64, 4)
    rows = CatalogueRows(loo, RowsRecipe(), COUNT, seed=1)

    def weights(history: tuple[int, ...]) -> torch.Tensor:
        with torch.inference_mode():
            return gate(encoder.last_state(pad_histories([history], 1682, 50)))

    leaks = 0
    for index in range(20):
        row = rows[index]
        start = first_supervised(row)
        twin = CatalogueRows(_changed_from(loo, row), RowsRecipe(), COUNT, seed=1)[index]
        assert not set(twin.targets[start:]) & set(row.targets[start:]), "what is to be told is another"
        assert twin.seen_by_gate == row.seen_by_gate
        leaky = (*row.seen_by_gate, row.targets[start])
        leaks += not torch.allclose(weights(row.seen_by_gate), weights(leaky), atol=1e-4)
    assert leaks == 20  # had the gate seen one target more, this test would have noticed


def _changed_from(split: Split, row: Row) -> Split:
    """The split in which the row's user had other items from the first supervised position on."""
    place = split.train_users.index(row.user)
    sequence = split.train[place]  # nobody has an item of MovieLens twice
    position = sequence.index(row.targets[first_supervised(row)])
    others = [item for item in range(1682) if item not in sequence][: len(sequence) - position]
    assert len(others) == len(sequence) - position
    train = list(split.train)
    train[place] = (*sequence[:position], *others)
    return replace(split, train=tuple(train))


def test_targets_follow_the_history_one_by_one(loo: Split) -> None:
    rows = CatalogueRows(loo, RowsRecipe(), COUNT, seed=2)
    for index in range(100):
        row = rows[index]
        assert len(row.targets) == len(row.history) + 1 <= 21
        for t in range(first_supervised(row), len(row.history)):
            assert row.targets[t] == row.history[t]  # what follows t items is item t


def test_rows_depend_on_seed_and_index_only(loo: Split) -> None:
    a, b = (CatalogueRows(loo, RowsRecipe(), COUNT, seed=7) for _ in range(2))
    assert [a[i] for i in (3, 1, 2)] == [b[i] for i in (3, 1, 2)]
    assert [a[i] for i in range(20)] != [
        CatalogueRows(loo, RowsRecipe(), COUNT, seed=8)[i] for i in range(20)
    ]


def test_rows_of_the_demo_recipe_are_what_they_always_were(loo: Split) -> None:
    recipe = load_recipe("demo-cpu")
    fixed = np.arange(100)[None]  # in place of what an encoder retrieves
    drawn = (
        CatalogueRows(loo, recipe.rows, 300, recipe.run.seed),
        BranchRows(loo, recipe.rows, 300, recipe.run.seed, 1682, lambda histories: fixed),
    )
    hashes = []
    for rows in drawn:
        some = [rows[i] for i in range(300)]
        fields = [[row.history, row.seen_by_gate, row.targets, row.candidates] for row in some]
        hashes.append(hashlib.sha256(json.dumps(fields).encode()).hexdigest())
    assert hashes == [
        "c6c6a23ba26b7f3f2a1f4f98d65c23ae802a8cbc5ac8aff5af437fa1980ec4ca",
        "64b1200626457d89be91cd49b3111d0b58bb2458e3fe107126d9c2d79334d465",
    ]


def test_a_row_names_the_user_whose_sequence_it_is_cut_from() -> None:
    # Users' indices are not their places: user 3 has too few items to train, user 9 comes first.
    split = Split("loo", (tuple(range(30)), (50,), tuple(range(60, 90))), (9, 3, 4), (), ())
    rows = CatalogueRows(split, RowsRecipe(), COUNT, seed=1)
    named = {(rows[i].user, rows[i].targets[-1] // 60) for i in range(COUNT)}
    assert named == {(9, 0), (4, 1)}


def test_no_held_out_item_is_ever_a_target(movielens: Dataset, loo: Split) -> None:
    sequences = set(loo.train)
    rows = CatalogueRows(loo, RowsRecipe(), COUNT, seed=3)
    for index in range(100):
        row = rows[index]
        window = (*row.history, row.targets[-1])
        assert any(
            window == s[i : i + len(window)] for s in sequences for i in range(len(s) - len(window) + 1)
        )


@pytest.mark.parametrize(
    ("draw", "share"),
    [("every_position", 0.90), ("user_sqrt", 0.75), ("user_uniform", 0.50), ("late_positions", 0.50)],
)
def test_users_are_drawn_as_the_recipe_says(draw: str, share: float) -> None:
    heavy, light = tuple(range(900)), tuple(range(1000, 1100))  # 900 and 100 interactions
    split = Split("loo", (heavy, light), (0, 1), (), ())
    rows = CatalogueRows(split, RowsRecipe(draw=draw), 4000, seed=1)
    got = np.mean([rows[i].history[0] < 1000 for i in range(4000)])
    assert got == pytest.approx(share, abs=0.03)


def test_the_gate_reads_no_more_than_its_encoder_can(loo: Split) -> None:
    rows = CatalogueRows(loo, RowsRecipe(), COUNT, seed=1, gate_length=5)
    assert max(len(rows[i].seen_by_gate) for i in range(COUNT)) == 5


def test_late_positions_end_in_the_last_ones(loo: Split) -> None:
    split = Split("loo", (tuple(range(300)),), (0,), (), ())
    rows = CatalogueRows(split, RowsRecipe(draw="late_positions", late=8), COUNT, seed=1)
    ends = {rows[i].targets[-1] for i in range(COUNT)}
    assert ends == set(range(292, 300))


def test_branch_negatives_are_distinct_unseen_and_partly_retrieved(loo: Split) -> None:
    router = TorchRouter(SASRec(EncoderShape(1682)), None)
    recipe = RowsRecipe(candidates=20, retrieved_share=0.5)
    rows = BranchRows(loo, recipe, COUNT, 1, 1682, lambda h: router.route(h).retrieved)
    for index in range(30):
        row = rows[index]
        target, *negatives = row.candidates
        assert len({*row.candidates}) == 20
        owner = next(
            s for s in loo.train if any(s[i : i + len(row.history)] == row.history for i in range(len(s)))
        )
        assert target in owner and not set(negatives) & set(owner)
        retrieved = set(router.route([row.seen_by_gate]).retrieved[0].tolist())
        assert len(retrieved & set(negatives)) >= 9
        assert target not in row.seen_by_gate or owner.count(target) > 1


# ---------------------------------------------------------------- what no rows can be drawn for


def of_lengths(*lengths: int) -> Split:
    """A user of each length, whose items are all different."""
    return Split("loo", tuple(tuple(range(n)) for n in lengths), tuple(range(len(lengths))), (), ())


@pytest.mark.parametrize("reads", ["history", "static"])
@pytest.mark.parametrize(
    ("mode", "residual"), [("catalogue", "0"), ("catalogue", "1"), ("branch", "0"), ("generate", "0")]
)
def test_rows_that_the_encoder_reads_whole_are_no_longer_than_it_can(
    mode: str, reads: str, residual: str
) -> None:
    settings = [f"adapter.gate_reads={reads}", f"model.residual={residual}", "encoder.max_length=10"]
    recipe = load_recipe("demo-cpu", settings, mode=mode, method="ilora")
    assert recipe.rows.history_length == 20
    check_rows(recipe, of_lengths(5, 11), 1000)  # 10 items before the last target, whatever the recipe allows
    if mode != "catalogue" or (reads, residual) == ("static", "0"):
        check_rows(recipe, of_lengths(5, 12), 1000)
        return
    with pytest.raises(RecipeError, match=r"up to 11 items.*max_length=10: set encoder\.max_length=11, or"):
        check_rows(recipe, of_lengths(5, 12), 1000)


@pytest.mark.parametrize("mode", ["branch", "generate"])
def test_more_candidates_than_items_that_someone_lacks_are_refused(mode: str) -> None:
    split, most = of_lengths(5, 81), load_recipe("demo-cpu", ["rows.candidates=20"], mode=mode)
    check_rows(most, split, 100)
    drawn = (
        BranchRows(split, most.rows, 50, 1, 100, lambda histories: np.arange(100)[None]),
        GenerateRows(split, most.rows, 50, 1, 100),
    )
    assert all(len({*rows[i].candidates}) == 20 for rows in drawn for i in range(50))
    more = load_recipe("demo-cpu", ["rows.candidates=21"], mode=mode)
    with pytest.raises(RecipeError, match=r"81 of the 100 items, so 20 candidates are possible at most"):
        check_rows(more, split, 100)
    check_rows(load_recipe("demo-cpu", ["rows.candidates=21"]), split, 100)  # the mode that has none


def test_both_are_told_before_anything_slow_is_done(
    settings: list[str], movielens: Dataset, tmp_path: Path
) -> None:
    short = [*settings, "encoder.max_length=10"]
    with pytest.raises(RecipeError, match="gives rows of up to 20 items"):
        train(load_recipe("demo-cpu", [*short, "model.backbone=nowhere"]), tmp_path / "run")
    recipe = load_recipe("demo-cpu", short)
    with pytest.raises(RecipeError, match="gives rows of up to 20 items"):
        run_trial(recipe, open_backbone(recipe), movielens)
