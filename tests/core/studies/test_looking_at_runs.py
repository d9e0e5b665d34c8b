"""Studies that look at finished runs: gradients of clusters, and how little history is enough."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.dataset import Case, Dataset
from core.encoder import SASRec
from core.errors import RunError
from core.gate_reading import GateReading
from core.ilora import adapter_parameters
from core.studies import coldstart as cold
from core.studies import gradients as grads
from core.studies.coldstart import coldstart, measured, shortened
from core.studies.gradients import Alignment, gradient, gradients, halves_of_clusters, rows_by_group
from core.training.finished import FinishedRun, open_ranker, read_finished
from core.training.objective import Objective
from core.training.recipe import Recipe, load_recipe
from core.training.rows import CatalogueRows, Collator
from core.training.run import open_backbone, train

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def runs(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> list[FinishedRun]:
    folder = tmp_path_factory.mktemp("studied")
    for method in ("lora", "ilora"):
        train(
            quick_recipe("run.max_steps=4", "model.compute=fp32", "encoder.max_epochs=4", method=method),
            folder / method,
        )
    return [read_finished(folder / method) for method in ("lora", "ilora")]


# ---------------------------------------------------------------------- gradients


def test_alignment_of_directions_that_are_known() -> None:
    halves = np.zeros((2, 3, 4))
    halves[:, 0, 0] = 1.0  # both halves of a cluster agree
    halves[:, 1, 0] = -2.0  # its opposite
    halves[0, 2, 2] = halves[1, 2, 3] = 5.0  # two halves that have nothing in common
    told = Alignment.of(halves)
    assert told.cosines.tolist() == [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]
    assert (told.within, told.between, told.opposed) == (pytest.approx(2 / 3), pytest.approx(-1 / 3), 1)


def test_halves_of_a_cluster_share_no_user() -> None:
    labels = {user: user % 3 for user in range(20)} | {20: 0}
    groups = halves_of_clusters(labels, 3)
    assert set(groups) == set(labels)
    for cluster in range(3):
        own = [user for user in labels if labels[user] == cluster]
        assert {groups[user] for user in own} == {cluster, cluster + 3}
        sizes = [sum(groups[user] == cluster + half for user in own) for half in (0, 3)]
        assert abs(sizes[0] - sizes[1]) <= 1


def test_a_groups_rows_are_its_own_and_not_those_that_were_trained_on(movielens: Dataset) -> None:
    split = movielens.split("loo")
    rows = CatalogueRows(split, load_recipe("demo-cpu").rows, 32, 1)
    labels = {user: user % 3 for user in split.train_users}
    groups = rows_by_group(rows, labels, 3, 5)
    assert [len(group) for group in groups] == [5, 5, 5]
    assert all(row.user % 3 == place for place, group in enumerate(groups) for row in group)
    trained = [rows[index] for index in range(32)]
    assert not any(row in trained for group in groups for row in group)
    with pytest.raises(RunError, match="too small"):
        rows_by_group(rows, dict.fromkeys(split.train_users, 0), 2, 1)


def test_a_gradient_is_the_same_however_rows_are_passed(
    runs: list[FinishedRun], movielens: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs[1]
    ranker, _ = open_ranker(run, open_backbone(run.recipe), movielens)
    encoder: SASRec = run.prepared.encoder
    objective = Objective(ranker.model, encoder, "ilora", GateReading()).eval()
    objective.requires_grad_(False)
    for parameter in adapter_parameters(ranker.model.decoder, "ilora"):
        parameter.requires_grad_(True)
    rows = CatalogueRows(movielens.split("loo"), run.recipe.rows, 0, 1, 20)
    some, collate = [rows[index] for index in range(6)], Collator(ranker.wording, movielens.num_items)
    whole = gradient(objective, collate, some)
    monkeypatch.setattr(grads, "PASS", 4)
    parts = gradient(objective, collate, some)
    assert whole.abs().max() > 0 and whole.numel() == sum(
        p.numel() for p in adapter_parameters(ranker.model.decoder, "ilora")
    )
    assert (whole - parts).norm() < 1e-4 * whole.norm()


def test_both_adapters_are_looked_at(runs: list[FinishedRun], movielens: Dataset) -> None:
    told: list[tuple[str, int, int]] = []
    finding = gradients(
        runs, movielens, rows=4, step=lambda what, done, total: told.append((what, done, total))
    )
    assert set(finding.numbers["adapters"]) == {"lora", "ilora"}
    for one in finding.numbers["adapters"].values():
        cosines = np.array(one["cosines"])
        assert cosines.shape == (8, 8) and np.allclose(cosines, cosines.T)
        assert 1 >= one["within"] > -1 and 0 <= one["opposed"] <= 28
    assert "4 rows per half" in finding.sentence and ("Gradients of ilora", 0, 16) in told


# ---------------------------------------------------------------------- coldstart


def test_histories_are_shortened_from_the_past(movielens: Dataset) -> None:
    case = Case(3, (5, 6, 7, 8), 9)
    assert [short.history for short in shortened([case], 2)] == [(7, 8)]
    assert shortened([case], 9) == [case]


def test_a_method_is_asked_about_the_same_people_at_every_length() -> None:
    cases = [Case(u, tuple(range(10, 10 + length)), u) for u, length in enumerate((12, 30, 4, 15))]
    candidates = np.array([[u, 8, 9] for u in range(4)])
    asked: list[list[int]] = []

    def score(some: list[Case]) -> np.ndarray:
        asked.append([len(case.history) for case in some])
        scores = np.zeros((len(some), 50), dtype=np.float32)
        for row, case in zip(scores, some, strict=True):
            row[case.target] = 1.0 if len(case.history) > 2 else -1.0
        return scores

    counts = np.ones(50, dtype=np.int64)
    counts[3] = 0
    told = measured("mine", score, cases, candidates, counts)
    assert asked == [[12, 30, 4, 15], [1, 1, 1], [2, 2, 2], [5, 5, 5]]
    assert {length: point.hr1.mean for length, point in told.lengths.items()} == {1: 0, 2: 0, 5: 1, 10: 1}
    assert all(point.hr1.n == 3 for point in told.lengths.values())
    assert told.sparse is not None and told.sparse.hr1.n == 3
    assert told.unseen is not None and told.unseen.hr1.n == 1


def test_runs_stand_beside_every_baseline(runs: list[FinishedRun], movielens: Dataset) -> None:
    split = movielens.split("loo")
    long = [case for case in split.test if len(case.history) >= 10][:30]
    few = replace(split, test=tuple(long), validation=split.validation[:30])
    small = replace(movielens, splits={"loo": few})
    finding = coldstart(runs, small)
    labels = [method["label"] for method in finding.numbers["methods"]]
    assert labels == ["Popularity", "ItemKNN", "EASE", "SASRec", "LoRA", "iLoRA"]
    popularity = finding.numbers["methods"][0]["lengths"]
    assert len({point["hr1"]["mean"] for point in popularity.values()}) == 1, "reads nobody's history"
    assert f"n = {len(long)}" in finding.sentence


def test_what_these_studies_cannot_ask_is_refused(
    runs: list[FinishedRun], movielens: Dataset, tmp_path: Path
) -> None:
    branch = replace(runs[1], recipe=runs[1].recipe.model_copy(update={"mode": "branch"}))
    with pytest.raises(RunError, match="branch mode"):
        gradients([branch], movielens)
    with pytest.raises(RunError, match="branch mode"):
        coldstart([branch], movielens)
    nobody = replace(movielens.split("loo"), test=movielens.split("loo").test[:0])
    with pytest.raises(RunError, match="Nobody"):
        coldstart(runs, replace(movielens, splits={"loo": nobody}))
    assert cold.LENGTHS[-1] == 10 and torch.is_grad_enabled()
