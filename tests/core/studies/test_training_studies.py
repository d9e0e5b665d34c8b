"""Studies that train: their runs are what they say, and their numbers are of the same people."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.data.ring import World
from core.errors import DataError, RunError
from core.evaluation.plan import Asked, evaluate_runs, read_runs
from core.studies import gaps
from core.studies import heterogeneity as het
from core.studies import mixed_domains as mix
from core.studies.evidence import check_planned, train_missing
from core.studies.finding import Finding, gain, read_findings
from core.studies.gaps import REMEDIES, Places
from core.studies.grid import RECIPE, Planned
from core.studies.sweeps import (
    EXPERTS,
    GATES,
    LEVERS,
    Arms,
    compared,
    experts_arms,
    gate_arms,
    levers_arms,
    once,
    sweep,
)
from core.training.finished import RECIPE as RECIPE_FILE
from core.training.finished import SUMMARY, FinishedRun, read_finished
from core.training.recipe import Recipe, load_recipe
from core.training.run import Watch, train
from core.training.run_folder import held

Make = Callable[..., Recipe]


def recipe_of(planned: Planned) -> Recipe:
    return load_recipe(planned.recipe, planned.settings, method=planned.method)


def test_a_findings_file_is_the_finding(tmp_path: Path) -> None:
    finding = Finding("mine", "What?", "This: −0.4.", {"n": 3, "rates": [0.5, 0.25]})
    path = finding.save(tmp_path / "new")
    assert Finding.load(path) == finding and read_findings(tmp_path / "new") == [finding]
    first = path.read_bytes()
    assert finding.save(tmp_path / "new").read_bytes() == first
    path.write_text('{"name": "mine"}')
    with pytest.raises(DataError, match="no finding"):
        Finding.load(path)
    assert read_findings(tmp_path / "nowhere") == []


# ---------------------------------------------------------------------- sweeps


def test_arms_differ_in_what_they_are_called_and_in_nothing_else() -> None:
    recipes = [recipe_of(one) for one in gate_arms("movielens", 7, 2).planned]
    assert [r.label for r in recipes] == ["lora", "static", "random", "tokens", "ilora", "ilora"]
    assert len(GATES) == len(recipes) and recipes[-1].adapter.gate_cross_fitted
    for recipe in recipes:
        flat = recipe.flat()
        for name in ("method", "adapter.gate_reads", "adapter.gate_cross_fitted"):
            del flat[name]
        first = {k: v for k, v in recipes[0].flat().items() if k in flat}
        assert flat == first and recipe.run.max_steps == 7 and recipe.run.seed == 2


def test_experts_are_swept_at_one_rank_and_at_one_rank_each() -> None:
    arms = experts_arms("movielens", 7, 1)
    recipes = [recipe_of(one) for one in arms.planned]
    assert [recipe.experts for recipe in recipes] == [*EXPERTS, *EXPERTS]
    fixed, growing = recipes[:5], recipes[5:]
    assert {recipe.adapter.r for recipe in fixed} == {16}
    assert [recipe.adapter.r // recipe.experts for recipe in growing] == [2] * 5
    assert {recipe.adapter.alpha / recipe.adapter.r for recipe in recipes} == {4}
    names = [one.name for one in once(arms.planned)]
    assert len(names) == len(set(names)) == 9, "K 8 at rank 16 is in both"


def test_levers_say_all_that_they_are() -> None:
    planned = levers_arms("lastfm", 7, 1)
    recipes = [recipe_of(one) for one in planned.planned]
    assert len(recipes) == len(LEVERS) == len({one.name for one in planned.planned})
    for recipe, (_, rank, experts, _) in zip(recipes, LEVERS.values(), strict=True):
        assert (recipe.adapter.r, recipe.experts, recipe.adapter.alpha) == (rank, experts, 4 * rank)
    chosen = recipes[list(LEVERS).index("k16")]
    measured = load_recipe(RECIPE, method="ilora")
    assert (chosen.adapter, chosen.optimizer) == (measured.adapter, measured.optimizer)


@pytest.fixture(scope="module")
def arms(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Arms, list[FinishedRun]]:
    """LoRA and two gates, trained for a few steps."""
    folder = tmp_path_factory.mktemp("arms")
    planned = gate_arms("movielens", 2, 1)
    chosen = [planned.planned[0], planned.planned[1], planned.planned[4]]
    for one in chosen:
        own = [setting for setting in one.settings if setting.startswith("adapter.")]
        train(quick_recipe(*own, "run.max_steps=2", method=one.method), folder / one.name)
    labels = [planned.labels[place] for place in (0, 1, 4)]
    return Arms("gate", chosen, labels), read_runs([folder / one.name for one in chosen])


def test_a_sweep_compares_every_arm_with_the_first_on_the_same_people(
    arms: tuple[Arms, list[FinishedRun]], tmp_path: Path
) -> None:
    asked = Asked(part="validation", users=40, baselines=False)
    rows = evaluate_runs(arms[1], asked, tmp_path).rows
    sizes = {run.folder.name: sum(run.summary["parameters"].values()) for run in arms[1]}
    finding = sweep(arms[0], rows, sizes, "movielens", 2)
    told = finding.numbers["arms"]
    assert [arm["label"] for arm in told] == [GATES[name][0] for name in ("none", "static", "history")]
    assert told[0]["against"] is None and all(arm["against"] is not None for arm in told[1:])
    for arm in told[1:]:
        difference = arm["hr1"]["mean"] - told[0]["hr1"]["mean"]
        assert arm["against"]["mean"] == pytest.approx(difference) and arm["p_holm"] >= arm["p"]
    assert told[2]["parameters"] > told[0]["parameters"] == sizes[arms[0].planned[0].name]
    assert finding.numbers["n"] == 40 and "n = 40 validation users" in finding.sentence
    with pytest.raises(RunError, match="was not measured"):
        compared(arms[0], rows[:1], sizes)


def test_runs_of_other_steps_are_not_taken_for_these(tmp_path: Path) -> None:
    planned = gate_arms("movielens", 7, 1).planned[:2]
    for one in planned:
        (tmp_path / one.name).mkdir()
        recipe_of(one).save(tmp_path / one.name / "recipe.yaml")
    check_planned(planned, tmp_path)
    with pytest.raises(RunError, match=r"run\.max_steps=7, and 8 is asked for"):
        check_planned(gate_arms("movielens", 8, 1).planned[:2], tmp_path)


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_others_train_meanwhile_is_looked_at_in_its_turn(finished: bool, tmp_path: Path) -> None:
    first, second = gate_arms("movielens", 7, 1).planned[:2]
    _, other = gate_arms("movielens", 8, 1).planned[:2]
    assert other.name == second.name

    def begins(one: Planned, steps: int) -> Watch:
        assert one == first, "the other's run was gone on with"
        (tmp_path / second.name).mkdir()
        recipe_of(other).save(tmp_path / second.name / RECIPE_FILE)
        if finished:
            (tmp_path / second.name / SUMMARY).write_text("{}")
        return Watch()

    with (
        held(tmp_path / first.name),  # by another process, which trains the first
        pytest.raises(RunError, match=r"run\.max_steps=8, and 7 is asked for"),
    ):
        train_missing([first, second], tmp_path, 1, begins)


# ---------------------------------------------------------------------- gaps


def test_the_same_people_are_asked_at_three_places(movielens: Dataset) -> None:
    split = movielens.split("loo")
    places = Places.of(split)
    sequences = dict(zip(split.train_users, split.train, strict=True))
    assert len(places.anywhere) == len(places.last) == len(places.next) == len(split.validation)
    for anywhere, last, following in zip(places.anywhere, places.last, places.next, strict=True):
        whole = sequences[last.user]
        assert anywhere.user == last.user == following.user
        assert (*last.history, last.target) == whole
        assert (*anywhere.history, anywhere.target) == whole[: len(anywhere.history) + 1]
        assert following.history[: len(whole)] == whole, "validation goes on where training ends"
    assert Places.of(split) == places


def test_remedies_differ_from_the_recipe_in_what_they_are_called() -> None:
    recipes = [recipe_of(one) for one in gaps.planned("movielens", 7, 1)]
    base, *others = [recipe.flat() for recipe in recipes]
    differing = [sorted(name for name in base if one[name] != base[name]) for one in others]
    told = [[setting.split("=")[0] for setting in own] for _, _, own in REMEDIES.values()][1:]
    # The recipe's own way to draw rows is one of those that are compared.
    assert differing == [sorted(names) for names in told]


def test_both_gaps_of_every_remedy_are_measured(
    quick_recipe: Make, movielens: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {name: REMEDIES[name] for name in ("base", "bare", "crossed")}
    monkeypatch.setattr(gaps, "REMEDIES", chosen)
    runs = []
    for name, (_, _, own) in chosen.items():
        train(quick_recipe(*own, "run.max_steps=2", method="lora"), tmp_path / name)
        runs.append(read_finished(tmp_path / name))
    told = gaps.measure(runs, movielens)
    assert [one.label for one in told] == ["SASRec alone", *(label for _, label, _ in chosen.values())]
    for one in told:
        assert one.memory == pytest.approx(one.last.mean - one.next.mean) and one.next.n == 943
        assert one.shift == pytest.approx(one.anywhere.mean - one.last.mean)
    assert [one.against is None for one in told] == [True, True, False, False]
    assert told[2].against is not None
    assert told[2].against.mean == pytest.approx(told[2].next.mean - told[1].next.mean)
    finding = gaps.gaps(told, "movielens", 2)
    assert "the same n = 943 people" in finding.sentence and "(memory)" in finding.sentence


# ---------------------------------------------------------------------- heterogeneity


def test_levels_are_trained_alike() -> None:
    planned = het.planned(5, 3, (0, 100))
    assert [one.name for one in planned] == [
        "ring-0-shown-lora-3", "ring-0-shown-ilora-3", "ring-100-shown-lora-3", "ring-100-shown-ilora-3",
    ]  # fmt: skip
    recipes = [recipe_of(one) for one in planned]
    assert [recipe.dataset for recipe in recipes[::2]] == ["ring-0-shown", "ring-100-shown"]
    assert {recipe.run.max_steps for recipe in recipes} == {5}


def test_a_level_is_measured_against_the_best_there_is(quick_recipe: Make, tmp_path: Path) -> None:
    for method in ("lora", "ilora"):
        recipe = quick_recipe("dataset=ring-100", "encoder.max_epochs=3", "run.max_steps=2", method=method)
        train(recipe, tmp_path / method)
    level = het.measure(*(read_finished(tmp_path / method) for method in ("lora", "ilora")))
    assert level.heterogeneity == 1.0 and level.lora.n == 800
    assert level.best > 0.6 > level.encoder.mean, "three epochs do not reach the best"
    assert level.gain.mean == pytest.approx(level.ilora.mean - level.lora.mean)
    assert all(
        -1 <= found <= 1 for found in (level.found_by_gate, level.found_by_leader, level.found_by_encoder)
    )
    finding = het.heterogeneity([level], 2)
    assert "n = 800" in finding.sentence and gain(level.gain) in finding.sentence


def test_types_that_vectors_tell_apart_are_found() -> None:
    types = World(1.0).types
    vectors = np.eye(4)[types] + 0.01 * np.random.default_rng(0).standard_normal((800, 4))
    assert het._found(types, vectors) == 1.0
    nothing = np.random.default_rng(1).standard_normal((800, 4))
    assert abs(het._found(types, nothing)) < 0.02
    assert het._told(types, vectors) == 1.0 and abs(het._told(types, nothing) - 0.25) < 0.06


# ---------------------------------------------------------------------- mixed


def test_the_adapter_for_all_reads_as_many_rows_as_the_others_together() -> None:
    planned = mix.planned(50, 1, ("movielens", "lastfm"))
    steps = {one.dataset: recipe_of(one).run.max_steps for one in planned}
    assert steps == {"movielens": 50, "lastfm": 50, "movielens+lastfm": 100}
    assert len({one.name for one in planned}) == 6


@pytest.fixture(scope="module")
def worlds() -> Sequence[Dataset]:
    return [load_dataset("ring-0"), load_dataset("ring-100")]


def test_both_are_asked_the_same_questions(
    quick_recipe: Make, tmp_path: Path, worlds: Sequence[Dataset]
) -> None:
    for name in ("ring-0", "ring-0+ring-100"):
        train(quick_recipe(f"dataset={name}", "run.max_steps=2", method="lora"), tmp_path / name)

    def nothing(what: str, done: int, total: int) -> None: ...

    together = mix.together_hits(read_finished(tmp_path / "ring-0+ring-100"), worlds, nothing)
    assert {name: len(hits) for name, hits in together.items()} == {"ring-0": 800, "ring-100": 800}
    apart = mix.separate_hits(read_finished(tmp_path / "ring-0"), worlds[0], nothing)
    told = mix.compared({("ring-0", "lora"): apart}, {"lora": together})
    difference = together["ring-0"].mean() - apart.mean()
    assert told["ring-0"]["lora"].difference.mean == pytest.approx(difference)
    finding = mix.mixed(told, 2)
    assert "ring-0 (n = 800) LoRA" in finding.sentence


def test_hits_of_a_union_are_those_of_the_parts_scores(worlds: Sequence[Dataset]) -> None:
    parts = mix.parts_of(worlds)
    assert [(part.items.start, part.items.stop) for part in parts] == [(0, 200), (200, 400)]
    case = replace(worlds[1].split("loo").test[0])
    moved = parts[1].case(case)
    assert moved.target - 200 == case.target and moved.user - 800 == case.user
