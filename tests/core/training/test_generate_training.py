"""Generate mode in training: its rows, its curriculum, its loss, and that it can be learned."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import TrainerCallback

from core.assembly import new_model
from core.data.dataset import Case, Dataset, Split
from core.encoder import EncoderShape, SASRec, TorchRouter
from core.evaluation.answering import generate_answers
from core.evaluation.asking import route_cases
from core.item_space import ItemFeatures
from core.prompt import Wording
from core.ranker import Ranker
from core.training.checkpoint import WEIGHTS, WHOLE, checkpoints
from core.training.objective import Objective
from core.training.recipe import Recipe, RowsRecipe, load_recipe
from core.training.rows import BranchRows, Collator, GenerateRows, Row
from core.training.run import Watch, train
from quant.backbone import load_backbone

COUNT = 400
ITEMS = 1682


@pytest.fixture(scope="module")
def loo(movielens: Dataset) -> Split:
    return movielens.split("loo")


def generate_rows(split: Split, count: int = COUNT, seed: int = 1, **recipe: Any) -> GenerateRows:
    return GenerateRows(split, RowsRecipe(history_length=10, **recipe), count, seed, ITEMS)


def test_a_row_lists_its_target_at_a_random_place_among_items_the_user_never_touched(loo: Split) -> None:
    rows, columns = generate_rows(loo), Counter[int]()
    for index in range(COUNT):
        row = rows[index]
        target = row.candidates[row.column]
        window = (*row.history, target)
        owners = [s for s in loo.train if any(s[i : i + len(window)] == window for i in range(len(s)))]
        assert owners, "no training sequence holds this history with this target behind it"
        assert any(not (set(row.candidates) - {target}) & set(owner) for owner in owners)
        assert len(set(row.candidates)) == 20 and 1 <= len(row.history) <= 10
        assert (
            row.seen_by_gate[-len(row.history) :] == row.history
        )  # what lies before the target, and no more
        columns[row.column] += 1
        if index == 40:  # owners are slow to find
            break
    columns = Counter(rows[index].column for index in range(COUNT))
    assert set(columns) == set(range(20)) and max(columns.values()) < 3 * COUNT / 20


def test_the_order_of_candidates_and_the_curriculum_change_no_row_that_is_drawn(loo: Split) -> None:
    router = TorchRouter(SASRec(EncoderShape(ITEMS)), None)
    recipe = RowsRecipe(history_length=10)
    branch = BranchRows(loo, recipe, COUNT, 1, ITEMS, lambda h: router.route(h).retrieved)
    plain, text_first = generate_rows(loo), generate_rows(loo, curriculum=1.0)
    for index in range(20):
        listed, first = plain[index], branch[index]  # branch mode puts the target first
        assert listed.history == first.history and listed.seen_by_gate == first.seen_by_gate
        assert listed.candidates[listed.column] == first.candidates[0]
        assert replace(text_first[index], hybrid=True) == listed
    assert [plain[i] for i in (3, 1, 2)] == [generate_rows(loo)[i] for i in (3, 1, 2)]
    assert [plain[i] for i in range(20)] != [generate_rows(loo, seed=2)[i] for i in range(20)]


def test_item_tokens_come_in_over_the_curriculums_share_of_the_run(loo: Split) -> None:
    rows = generate_rows(loo, count=1000, curriculum=0.5)
    assert rows.hybrid_share(0) == 0
    assert rows.hybrid_share(250) == 0.5  # half of the rise, a quarter of the run
    assert rows.hybrid_share(500) == rows.hybrid_share(999) == 1
    shares = [np.mean([rows[i].hybrid for i in range(a, a + 100)]) for a in (0, 200, 400, 500, 900)]
    np.testing.assert_allclose(shares, [0.05, 0.25 * 2, 0.9, 1, 1], atol=0.12)
    assert shares[3:] == [1, 1]
    assert all(generate_rows(loo)[i].hybrid for i in range(50))  # none asked for: item tokens from the start


def test_a_resumed_curriculum_goes_on_where_it_was(loo: Split) -> None:
    unbroken = generate_rows(loo, count=200, curriculum=1.0)
    resumed = generate_rows(loo, count=200, curriculum=1.0)
    # A resumed run makes its rows anew and reads on at the row where it stopped.
    assert [resumed[i] for i in range(150, 200)] == [unbroken[i] for i in range(150, 200)]
    assert resumed.hybrid_share(150) == 0.75 and np.mean([resumed[i].hybrid for i in range(150, 200)]) > 0.7


class Small:
    """Two layers in float32 with a fresh adapter over random items."""

    def __init__(self, folder: Path, dataset: Dataset, method: str) -> None:
        backbone = load_backbone(folder, "fp32", device="cpu")
        self.wording = Wording.of(backbone.tokenizer, dataset.catalog)
        torch.manual_seed(4)
        self.encoder = SASRec(EncoderShape(ITEMS)).eval()
        features = ItemFeatures(
            torch.randn(ITEMS, 64), torch.randn(ITEMS, 16), torch.ones(ITEMS, dtype=torch.bool)
        )
        self.model = new_model(backbone, features, Recipe(method=method, mode="generate"))
        self.model.space(method).freeze_scores()
        self.objective = Objective(self.model, self.encoder, method)
        self.collator = Collator(self.wording, ITEMS)
        self.method = method


@pytest.fixture(scope="module")
def small(shallow_folder: Path, movielens: Dataset) -> Small:
    small = Small(shallow_folder, movielens, "ilora")
    with torch.no_grad():
        for name, parameter in small.model.named_parameters():
            if "experts_B" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.05)
    return small


ROWS = (
    Row((5, 9), (3, 5, 9), candidates=(30, 7, 400), column=1, hybrid=True, user=0),
    Row((11,), (11,), candidates=(8, 90, 12), column=0, hybrid=False, user=1),
)


def test_the_loss_covers_the_answer_tokens_only(small: Small) -> None:
    w, model = small.wording, small.model
    small.objective.eval()
    embedding, table = model._embedding.weight, model.space("ilora").token_table()
    total, tokens = 0.0, 0
    for row in ROWS:  # by hand: one row, no padding, logits everywhere, labels on the answer alone
        parts = [F.embedding(torch.tensor(w.instruction), embedding)]
        for place, item in enumerate((*row.history, *row.candidates)):
            if place == len(row.history):
                parts.append(F.embedding(torch.tensor(w.choices), embedding))
            parts.append(F.embedding(torch.tensor(w.titles[item]), embedding))
            parts += [table[[item]]] if row.hybrid else []
            parts.append(F.embedding(torch.tensor(w.separator), embedding))
        answer = [*w.titles[row.candidates[row.column]], w.stops[0]]
        parts.append(F.embedding(torch.tensor([*w.question, *answer]), embedding))
        inputs = torch.cat(parts).unsqueeze(0)
        history = torch.tensor([row.seen_by_gate])
        out = model.decoder(inputs_embeds=inputs, sequence=small.encoder.last_state(history))
        labels = torch.full((inputs.shape[1],), -100)
        labels[-len(answer) :] = torch.tensor(answer)
        logits = out.last_hidden_state[0] @ embedding.T
        total += float(F.cross_entropy(logits[:-1], labels[1:], ignore_index=-100, reduction="sum"))
        tokens += len(answer)
    out = small.objective(**small.collator(ROWS))
    assert int(out["targets"]) == tokens
    assert float(out["loss"]) == pytest.approx(total / tokens, rel=1e-4)
    assert out["gate"].shape == (2, 4)


def test_a_text_only_row_teaches_no_item_token_and_nothing_teaches_the_scores(small: Small) -> None:
    small.objective.train()
    space = small.model.space("ilora")
    token = space.token_collaborative.weight

    def gradient(row: Row) -> torch.Tensor:
        small.objective.zero_grad()
        small.objective(**small.collator([row]))["loss"].backward()
        assert token.grad is not None
        assert all(p.grad is None for p in (space.vectors, space.bias, space.user.weight))
        return token.grad

    assert gradient(ROWS[0]).abs().amax() > 0
    assert gradient(ROWS[1]).abs().amax() == 0


def test_taught_answers_are_decoded_as_valid_exact_matches(
    shallow_folder: Path, movielens: Dataset, loo: Split
) -> None:
    small = Small(shallow_folder, movielens, "lora")
    rows = [
        replace(row, history=row.history[-2:])
        for row in map(generate_rows(loo, candidates=3).__getitem__, range(4))
    ]
    cases = [Case(i, row.history, row.candidates[row.column]) for i, row in enumerate(rows)]
    candidates = np.array([row.candidates for row in rows])
    ranker = Ranker(small.model, small.wording, 10, torch.zeros(ITEMS))
    routing = route_cases(TorchRouter(small.encoder, None), cases)
    assert generate_answers(ranker, routing, cases, candidates, "lora", max_new_tokens=3).valid_ratio == 0

    optimizer = torch.optim.Adam([p for p in small.objective.parameters() if p.requires_grad], lr=5e-3)
    batch = small.collator(rows)
    small.objective.train()
    for _ in range(60):
        optimizer.zero_grad()
        out = small.objective(**batch)
        out["loss"].backward()
        optimizer.step()
        if out["loss"] < 0.05:
            break
    answers = generate_answers(ranker, routing, cases, candidates, "lora")
    assert answers.valid_ratio == 1
    assert answers.chosen.tolist() == [row.column for row in rows]
    assert [f" {movielens.catalog.items[case.target].title}" for case in cases] == list(answers.texts)


class _StopAfter(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop |= state.global_step >= 2


def test_a_generate_run_stops_resumes_and_sums_itself_up(
    quick_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    more = ["rows.candidates=3", "rows.history_length=3", "rows.curriculum=1.0", "optimizer.batch_size=4"]
    more += ["run.max_steps=4", "run.save_every=2", "run.evaluate_every=4", "run.validation_users=2"]
    more += ["run.threads=1"]
    recipe = quick_recipe(*more, method="ilora", mode="generate")
    train(recipe, tmp_path / "unbroken")
    train(recipe, tmp_path / "halved", watch=Watch(callbacks=(_StopAfter(),)))
    train(recipe, tmp_path / "halved", resume=True)
    whole, halved = (checkpoints(tmp_path / run)[-1] for run in ("unbroken", "halved"))
    first, second = load_file(whole / WEIGHTS), load_file(halved / WEIGHTS)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any("vectors" in name for name in first)  # nothing is scored, so nothing of it trains
    losses = [
        [e["loss"] for e in json.loads((c / WHOLE).read_text())["log_history"] if "loss" in e]
        for c in (whole, halved)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 2
    summary = json.loads((tmp_path / "unbroken" / "summary.json").read_text())
    assert summary["mode"] == "generate"
    assert [set(v) for v in summary["validations"]] == [{"step", "eval_hr1", "eval_valid_ratio"}]


def test_the_generate_recipe_asks_for_generate_mode() -> None:
    recipe = load_recipe("demo-cpu-generate")
    assert recipe.mode == "generate" and recipe.rows.candidates == 20 and recipe.rows.history_length == 10
    assert recipe.run.validation_users <= 100
