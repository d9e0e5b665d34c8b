"""Runs as rows: what is kept is what asking them gives, for every mode, gate and baseline."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.data.dataset import Dataset
from core.errors import RunError
from core.evaluation import run_methods
from core.evaluation.asking import ask, full_ranks, route_cases, sampled_ranks
from core.evaluation.blending import blend, log_softmax
from core.evaluation.evaluating import evaluate
from core.evaluation.fairness import unfair
from core.evaluation.plan import Asked, read_runs, sources_of
from core.evaluation.questions import Questions, open_questions
from core.evaluation.run_comparison import check_comparable
from core.evaluation.run_identity import fits, run_identity
from core.evaluation.run_methods import AskedRun, RunSource, reordered
from core.evaluation.stacking import stack_of
from core.studies import asked_run
from core.training.finished import FinishedRun, open_ranker, read_finished
from core.training.recipe import Recipe
from core.training.run import open_backbone
from tests.core.evaluation.untrained_runs import SECONDS, STEPS, make_run

FEW = 6


@pytest.fixture(scope="module")
def runs(
    quick_recipe: Callable[..., Recipe], movielens: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, FinishedRun]:
    folder = tmp_path_factory.mktemp("runs")
    shuffled = "adapter.gate_reads=shuffled"
    wanted = {
        "lora": quick_recipe(method="lora", split="paper"),
        "ilora": quick_recipe(method="ilora", split="paper"),
        "shuffled": quick_recipe(shuffled, method="ilora", split="paper"),
        "beside": quick_recipe("model.residual=0.5", method="ilora", split="paper"),
        "branch": quick_recipe(method="ilora", split="paper", mode="branch"),
        "generate": quick_recipe(method="lora", split="paper", mode="generate"),
    }
    return {name: read_finished(make_run(folder / name, r, movielens)) for name, r in wanted.items()}


@pytest.fixture(scope="module")
def asked(movielens: Dataset) -> Questions:
    return open_questions(movielens, "paper", "test", [("uniform", 0), ("uniform", 1)])


def opened(run: FinishedRun, questions: Questions) -> AskedRun:
    ranker, router = open_ranker(run, open_backbone(run.recipe), questions.dataset)
    return AskedRun(run, ranker, router, questions, lambda what, done, total: None)


def test_kept_results_are_those_of_asking_the_ranker(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    run, cases = runs["ilora"], asked.cases[:FEW]
    results = evaluate(asked, RunSource(run), tmp_path, users=FEW)
    ranker, router = open_ranker(run, open_backbone(run.recipe), asked.dataset)
    routing = route_cases(router, cases)
    scores = ask(ranker, routing, cases, "ilora")
    for result, table in zip(results[:2], asked.tables, strict=True):
        assert result.header.method == "iLoRA"
        assert result.numbers("rank").tolist() == sampled_ranks(scores, cases, table.table[:FEW]).tolist()
        assert result.numbers("full_rank").tolist() == full_ranks(scores, cases).tolist()
        assert np.allclose(result.gates(), routing.gate, atol=1e-6)
        assert {label.split()[0] for label in result.words("cluster")} == {"cluster"}


def test_a_blend_says_who_chose_its_weight(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    results = evaluate(asked, RunSource(runs["lora"]), tmp_path, users=2)
    labels = ["LoRA", "LoRA + SASRec", "LoRA + Stack"]
    assert [r.header.method for r in results[::2]] == labels
    assert [r.header.method for r in results[1::2]] == labels
    assert results[2].header.note.endswith("chosen on 94 validation users")
    assert re.match(r"weight of the stack [\d.]+, chosen on 94", results[4].header.note)
    assert results[0].gates().shape == (2, 0)


def test_a_run_is_blended_with_the_stack_over_its_own_encoder(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    blended = evaluate(asked, RunSource(runs["ilora"]), tmp_path, users=FEW)[4]
    assert blended.header.method == "iLoRA + Stack"
    told = re.match(r"weight of the stack ([\d.]+)", blended.header.note)
    assert told is not None
    run, rows = opened(runs["ilora"], asked), np.arange(FEW)
    stack = stack_of(asked.dataset, asked.split, runs["ilora"].prepared.encoder)
    assert stack is not None
    beside = stack.scores(asked.histories(rows, 10), run.routing.scores[rows])
    scores = blend(run.catalogue(rows), beside, float(told.group(1)))
    assert blended.numbers("full_rank").tolist() == full_ranks(scores, asked.cases[:FEW]).tolist()


def test_a_run_that_learned_beside_an_encoder_is_asked_and_blended_beside_its_own(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    run, cases, table = runs["beside"], asked.cases[:FEW], asked.tables[0].table[:FEW]
    results = evaluate(asked, RunSource(run), tmp_path, users=FEW)
    ranker, router = open_ranker(run, open_backbone(run.recipe), asked.dataset)
    routing = route_cases(router, cases)
    alone = ask(ranker, routing, cases, "ilora")
    said = alone + 0.5 * log_softmax(routing.scores)
    assert results[0].numbers("rank").tolist() == sampled_ranks(said, cases, table).tolist()
    assert results[0].numbers("full_rank").tolist() == full_ranks(said, cases).tolist()
    assert full_ranks(said, cases).tolist() != full_ranks(alone, cases).tolist()
    told = re.match(r"weight of SASRec ([\d.]+)", results[2].header.note)
    assert told is not None
    blended = full_ranks(blend(said, routing.scores, float(told.group(1))), cases)
    assert results[2].numbers("full_rank").tolist() == blended.tolist()
    in_studies = asked_run.AskedRun(run, asked.dataset, lambda what, done, total: None)(cases)
    assert np.allclose(in_studies, said, atol=1e-4)


def test_a_shuffled_gate_reads_the_same_other_user_however_few_are_asked(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    few = evaluate(asked, RunSource(runs["shuffled"]), tmp_path / "few", users=3)
    more = evaluate(asked, RunSource(runs["shuffled"]), tmp_path / "more", users=FEW)
    assert [r.header.method for r in few] == ["Shuffled gate"] * 2
    assert np.allclose(few[0].gates(), more[0].gates()[:3], atol=1e-6)
    own = opened(runs["shuffled"], asked).routing.gate[:3]
    assert not np.allclose(few[0].gates(), own, atol=1e-4)


def test_a_second_stage_reads_candidates_and_orders_the_best_anew(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    result = evaluate(asked, RunSource(runs["branch"]), tmp_path, users=3)[0]
    assert result.header.method == "iLoRA (branch)" and "read one by one" in result.header.note
    run = opened(runs["branch"], asked)
    rows = np.arange(3)
    scores = run.branch(rows, asked.tables[0].table[rows])
    wanted = sampled_ranks(scores, asked.cases[:3], asked.tables[0].table[rows])
    assert result.numbers("rank").tolist() == wanted.tolist()
    assert not np.isnan(result.numbers("full_rank")).any()


def test_a_second_stage_is_blended_on_the_short_list_by_a_weight_of_validation_users(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_methods, "CHOOSING", 4)
    *_, blended, _ = evaluate(asked, RunSource(runs["branch"]), tmp_path, users=3)
    assert blended.header.method == "iLoRA (branch) + SASRec"
    told = re.match(r"weight of SASRec ([\d.]+), chosen on 4 validation users", blended.header.note)
    assert told is not None
    run, rows, table = opened(runs["branch"], asked), np.arange(3), asked.tables[0].table[:3]
    encoder = np.take_along_axis(run.routing.scores[rows], table, axis=1)
    scores = blend(run.branch(rows, table), encoder, float(told.group(1)))
    assert blended.numbers("rank").tolist() == sampled_ranks(scores, asked.cases[:3], table).tolist()
    assert not np.isnan(blended.numbers("full_rank")).any()


def test_titles_are_read_word_by_word_by_everything_but_catalogue_runs_and_cheap_baselines(
    runs: dict[str, FinishedRun],
) -> None:
    slow = [source.reads_titles for source in sources_of([runs["lora"], runs["branch"], runs["generate"]])]
    assert slow == [False, False, True, False, True, True]


def test_a_generated_answer_is_valid_or_not_and_ranks_nothing(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    [result, _] = evaluate(asked, RunSource(runs["generate"]), tmp_path, users=2)
    assert result.header.method == "LoRA (generate)"
    named = opened(runs["generate"], asked).named(np.arange(2), asked.tables[0].table[:2])
    assert result.numbers("valid").tolist() == (named >= 0).astype(float).tolist()
    assert np.isnan(result.numbers("full_rank")).all()


@given(st.integers(0, 10_000))
def test_reordering_puts_the_pool_first_by_its_own_scores_and_leaves_the_rest(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = generator.normal(size=(2, 12)).astype(np.float32)
    pool = np.stack([generator.permutation(12)[:4] for _ in range(2)])
    scores = generator.normal(size=(2, 4)).astype(np.float32)
    for row, order in enumerate(np.argsort(-reordered(first, pool, scores), axis=1)):
        assert order[:4].tolist() == pool[row][np.argsort(-scores[row])].tolist()
        rest = [item for item in np.argsort(-first[row]) if item not in pool[row]]
        assert order[4:].tolist() == rest


def test_runs_of_one_seed_share_the_rows_of_their_encoder_and_backbone(
    runs: dict[str, FinishedRun], asked: Questions, tmp_path: Path
) -> None:
    sources = sources_of([runs["lora"], runs["ilora"]])
    labels = [[name.label for name in source.identities] for source in sources]
    assert labels == [
        ["Popularity", "ItemKNN", "EASE"],
        ["SASRec", "Stack"],
        ["Title likelihood (zero-shot)"],
        ["LoRA", "LoRA + SASRec", "LoRA + Stack"],
        ["iLoRA", "iLoRA + SASRec", "iLoRA + Stack"],
    ]
    assert len(sources_of([runs["lora"], runs["ilora"]], baselines=False)) == 2
    [sasrec, _, stacked, _] = evaluate(asked, sources[1], tmp_path, users=FEW)
    assert stacked.header.note.startswith("weights: SASRec")
    routing = opened(runs["lora"], asked).routing
    wanted = sampled_ranks(routing.scores[:FEW], asked.cases[:FEW], asked.tables[0].table[:FEW])
    assert sasrec.numbers("rank").tolist() == wanted.tolist()
    [title, _] = evaluate(asked, sources[2], tmp_path, users=2)
    assert np.isnan(title.numbers("full_rank")).all() and title.numbers("valid").all()
    baselines = evaluate(asked, sources[0], tmp_path, users=FEW)
    assert [r.header.note.endswith("chosen on 94 validation users") for r in baselines[::2]] == [
        False,
        True,
        True,
    ]


def test_a_row_knows_what_it_was_trained_on(runs: dict[str, FinishedRun]) -> None:
    own = run_identity(runs["lora"])
    assert own.train_samples == STEPS * runs["lora"].recipe.optimizer.batch_size
    assert own.train_minutes == SECONDS / 60
    assert own.weights != run_identity(runs["ilora"]).weights and len(own.recipe) == 64


def test_the_small_published_splits_have_five_draws_of_uniform_candidates() -> None:
    asked = Asked(kinds=("uniform", "popularity"))
    assert [kind for kind, _ in asked.drawn("paper")].count("uniform") == 5
    assert asked.drawn("loo") == [("uniform", 0), ("popularity", 0)]
    assert len(replace(asked, draws=2).drawn("paper")) == 4


def test_a_run_is_not_asked_about_what_its_training_may_have_seen(
    runs: dict[str, FinishedRun], movielens: Dataset, asked: Questions
) -> None:
    with pytest.raises(RunError, match="trained on movielens paper and cannot be asked about movielens loo"):
        fits(runs["lora"], open_questions(movielens, "loo"))
    prepared = runs["lora"].prepared
    shrunk = replace(runs["lora"], prepared=replace(prepared, title_prior=prepared.title_prior[:-1]))
    with pytest.raises(RunError, match="knows 1681 items and movielens has 1682"):
        fits(shrunk, asked)


def test_runs_that_do_not_belong_together_are_refused_before_anything_slow(
    runs: dict[str, FinishedRun], quick_recipe: Callable[..., Recipe], movielens: Dataset, tmp_path: Path
) -> None:
    lora = runs["lora"].folder
    with pytest.raises(RunError, match="is named twice"):
        read_runs([lora, lora.parent / "." / "lora"])
    with pytest.raises(RunError, match="holds no run"):
        read_runs([tmp_path])
    other = make_run(tmp_path / "loo", quick_recipe(method="ilora", split="loo"), movielens)
    with pytest.raises(RunError, match="evaluate them in two calls"):
        read_runs([lora, other])
    with pytest.raises(RunError, match="at least one LoRA and one iLoRA run of the same mode"):
        check_comparable([runs["lora"], runs["shuffled"], runs["branch"]])


def test_what_runs_were_not_trained_alike_in_is_said(runs: dict[str, FinishedRun]) -> None:
    lora, ilora = runs["lora"], runs["ilora"]
    assert unfair([lora, ilora, runs["shuffled"], runs["generate"]]) == []
    longer = ilora.recipe.model_copy(update={"run": ilora.recipe.run.model_copy(update={"max_steps": 99})})
    assert unfair([lora, replace(ilora, recipe=longer)]) == [
        "run.max_steps is 8 in lora (LoRA) and 99 in ilora (iLoRA)."
    ]
    # Another gate is fair against LoRA, which has none, and not against a control, whoever comes first.
    gate = ilora.recipe.adapter.model_copy(update={"gate_hidden": 16, "gate_cross_fitted": True})
    folds = ilora.recipe.model.model_copy(update={"folds": 5})  # so does what it is cross-fitted through
    wider = replace(ilora, recipe=ilora.recipe.model_copy(update={"adapter": gate, "model": folds}))
    assert unfair([lora, wider]) == []
    assert unfair([lora, wider, runs["shuffled"]]) == [
        "adapter.gate_hidden is 16 in ilora (iLoRA) and None in shuffled (Shuffled gate).",
        "adapter.gate_cross_fitted is True in ilora (iLoRA) and False in shuffled (Shuffled gate).",
    ]
    fewer = ilora.recipe.adapter.model_copy(update={"num_experts": 2})
    halved = replace(ilora, recipe=ilora.recipe.model_copy(update={"adapter": fewer}))
    assert unfair([lora, runs["shuffled"], halved]) == [
        "adapter.num_experts is 4 in shuffled (Shuffled gate) and 2 in ilora (iLoRA)."
    ]
    encoder = type(ilora.prepared.encoder)(ilora.prepared.encoder.shape)
    torch.nn.init.zeros_(encoder.items.weight)
    [sentence] = unfair([lora, replace(ilora, prepared=replace(ilora.prepared, encoder=encoder))])
    assert "have seed 1, but not the same encoder" in sentence
