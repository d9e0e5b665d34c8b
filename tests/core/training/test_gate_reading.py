"""Controls are iLoRA in all but what the gate reads, and each reads what its name says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.assembly import new_model
from core.data.dataset import Dataset, Split
from core.encoder import EncoderShape, SASRec, TorchRouter, pad_histories
from core.evaluation.asking import route_cases
from core.gate import Gate
from core.gate_reading import GateReading, OthersHistories, gate_reading, others
from core.item_space import ItemFeatures
from core.packing import Packed
from core.prompt import Wording
from core.ranking_model import Mixture
from core.routing import Routing
from core.training.checkpoint import trainable_state
from core.training.cross_fitting import alignments, tail_states
from core.training.objective import Objective
from core.training.recipe import Recipe, load_recipe
from core.training.rows import IGNORED, CatalogueRows, Collator
from quant.backbone import Backbone, load_backbone

Make = Callable[..., Recipe]
CONTROLS = ("static", "random", "shuffled")
WIDTH, ITEMS = 32, 1682
TEXT = torch.randn(ITEMS, 48, generator=torch.Generator().manual_seed(8))
"""What a language model might read in titles."""
NOTHING = torch.full((1, 1), ITEMS)
"""An empty history, padded."""
Histories = list[tuple[int, ...]]


@pytest.fixture(scope="module")
def loo(movielens: Dataset) -> Split:
    return movielens.split("loo")


@pytest.fixture(scope="module")
def encoder() -> SASRec:
    torch.manual_seed(3)
    encoder = SASRec(EncoderShape(ITEMS, width=WIDTH, layers=1, max_length=20))
    with torch.no_grad():
        encoder.items.weight[:-1] *= 20  # states of different histories must differ
    return encoder.eval()


@pytest.fixture(scope="module")
def gate() -> Gate:
    torch.manual_seed(4)
    return Gate(WIDTH, 4)


@pytest.fixture(scope="module")
def routing(loo: Split, encoder: SASRec, gate: Gate) -> Routing:
    """Of the first 40 test cases."""
    return route_cases(TorchRouter(encoder, gate), loo.test[:40])


@pytest.fixture(scope="module")
def users(loo: Split) -> list[int]:
    return [case.user for case in loo.test[:40]]


@pytest.fixture(scope="module")
def histories(loo: Split) -> Histories:
    return [case.history for case in loo.test[:40]]


def reading_for(reads: str, encoder: SASRec, split: Split, seed: int = 1) -> GateReading:
    settings = [f"adapter.gate_reads={reads}", f"run.seed={seed}"]
    return gate_reading(load_recipe("demo-cpu", settings), encoder, split, TEXT)


# ---------------------------------------------------------------------- what each of them reads


def test_ilora_reads_the_history_itself(
    encoder: SASRec, loo: Split, gate: Gate, routing: Routing, users: list[int], histories: Histories
) -> None:
    reading = gate_reading(load_recipe("demo-cpu"), encoder, loo, TEXT)
    sequence, rows = torch.randn(3, WIDTH), CatalogueRows(loo, load_recipe("demo-cpu").rows, 8, 1)
    assert reading.read(sequence, torch.arange(3), NOTHING.expand(3, 1)) is sequence
    assert reading.rows(rows) is rows
    assert reading.mixtures(gate, routing, users, histories) is routing.gate
    assert reading.mixtures(None, routing, users, histories) is routing.gate  # LoRA


def test_a_static_gate_gives_everybody_the_mixture_of_its_bias(
    encoder: SASRec, loo: Split, gate: Gate, routing: Routing, users: list[int], histories: Histories
) -> None:
    mixtures = reading_for("static", encoder, loo).mixtures(gate, routing, users, histories)
    assert np.ptp(routing.gate, axis=0).max() > 0.05  # iLoRA tells these people apart
    expected = gate.network.bias.detach().softmax(0).expand(40, 4)
    torch.testing.assert_close(torch.from_numpy(mixtures), expected)
    assert np.ptp(mixtures, axis=0).max() == 0


def test_a_random_gate_gives_a_user_the_same_mixture_whatever_he_watched_and_whenever(
    encoder: SASRec, loo: Split, gate: Gate, routing: Routing, users: list[int], histories: Histories
) -> None:
    one = reading_for("random", encoder, loo)
    first = one.mixtures(gate, routing, users, histories)
    order = np.random.default_rng(0).permutation(40)
    another_session = reading_for("random", encoder, loo).mixtures(
        gate, routing, [users[i] for i in order], histories
    )
    assert np.allclose(another_session, first[order], atol=1e-6)  # other histories, same users
    in_training = one.read(torch.randn(2, WIDTH), torch.tensor([users[7], users[7]]), NOTHING.expand(2, 1))
    torch.testing.assert_close(gate(in_training).detach(), torch.from_numpy(first[[7, 7]]))

    distances = np.abs(first[:, None] - first[None]).max(-1) + np.eye(40)
    assert distances.min() > 1e-4  # no two users share a mixture
    other_seed = reading_for("random", encoder, loo, seed=2).mixtures(gate, routing, users, histories)
    assert np.abs(other_seed - first).max() > 0.05
    unseen = one.read(torch.zeros(1, WIDTH), torch.tensor([10**6]), NOTHING)
    assert not torch.allclose(unseen, in_training[:1])


def test_random_vectors_are_spread_as_real_sequence_vectors_are(encoder: SASRec, loo: Split) -> None:
    with torch.inference_mode():
        real = encoder.last_state(pad_histories(loo.train, ITEMS, 20))
    many = torch.arange(5000)
    drawn = reading_for("random", encoder, loo).read(torch.zeros(5000, WIDTH), many, NOTHING)
    error = real.std(0) / 5000**0.5
    assert ((drawn.mean(0) - real.mean(0)).abs() < 5 * error).all()
    assert ((drawn.std(0) / real.std(0) - 1).abs() < 0.06).all()


def test_a_shuffled_row_is_the_same_row_with_anothers_history_before_the_gate() -> None:
    # Three users without a common item, so that every history names its owner.
    split = Split("loo", tuple(tuple(range(u * 100, u * 100 + 40)) for u in range(3)), (5, 6, 7), (), ())
    own = CatalogueRows(split, load_recipe("demo-cpu").rows, 200, seed=1)
    shuffled = GateReading("shuffled", seed=1).rows(own)
    readers = set()
    for index in range(200):
        row, twin = shuffled[index], own[index]
        assert replace(row, seen_by_gate=twin.seen_by_gate, read_of=None) == twin
        owners = {5 + item // 100 for item in row.seen_by_gate}
        assert len(owners) <= 1 and twin.user not in owners
        assert owners <= {row.read_of} and row.read_of not in (None, twin.user)
        readers |= {(twin.user, owner) for owner in owners}
    assert len(readers) == 6  # everybody reads both others in turn: drawn anew for every row


def test_shuffled_rows_depend_on_seed_and_index_only(loo: Split) -> None:
    def seen(seed: int, order: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
        rows = OthersHistories(CatalogueRows(loo, load_recipe("demo-cpu").rows, 400, seed=1), seed)
        return {i: rows[i].seen_by_gate for i in order}

    assert seen(1, (3, 1, 2)) == seen(1, (1, 2, 3))
    assert seen(1, (1, 2, 3)) != seen(2, (1, 2, 3))


def test_shuffled_cases_read_another_user_by_a_fixed_derangement(
    encoder: SASRec, loo: Split, gate: Gate, routing: Routing, users: list[int], histories: Histories
) -> None:
    reading = reading_for("shuffled", encoder, loo)
    mixtures = reading.mixtures(gate, routing, users, histories)
    assert np.array_equal(
        mixtures, reading_for("shuffled", encoder, loo).mixtures(gate, routing, users, histories)
    )
    whose = others(users, seed=1)
    assert sorted(whose) == list(range(40)) and (whose != np.arange(40)).all()
    assert np.allclose(mixtures, routing.gate[whose], atol=1e-6)
    assert (whose != others(users, seed=2)).any()


@given(users=st.lists(st.integers(0, 6), min_size=1, max_size=24), seed=st.integers(0, 99))
def test_nobody_reads_himself_where_that_is_possible(users: list[int], seed: int) -> None:
    whose = others(users, seed)
    assert sorted(whose) == list(range(len(users)))
    own = sum(users[place] == user for place, user in zip(whose, users, strict=True))
    largest = max(users.count(user) for user in users)
    assert own == max(0, 2 * largest - len(users))  # no permutation has fewer


def test_a_token_gate_reads_the_mean_of_what_the_titles_say(
    encoder: SASRec, loo: Split, gate: Gate, routing: Routing, users: list[int], histories: Histories
) -> None:
    reading = reading_for("tokens", encoder, loo)
    one, two = torch.tensor([[3, 5, ITEMS]]), torch.tensor([[5, ITEMS, 3]])
    read = reading.read(torch.randn(1, WIDTH), torch.tensor([0]), one)
    torch.testing.assert_close(read, (TEXT[3] + TEXT[5])[:WIDTH].unsqueeze(0) / 2)
    assert torch.equal(read, reading.read(torch.randn(1, WIDTH), torch.tensor([9]), two)), "no order, no user"
    nothing = reading.read(torch.randn(1, WIDTH), torch.tensor([0]), NOTHING)
    assert torch.equal(nothing, torch.zeros(1, WIDTH))
    mixtures = reading.mixtures(gate, routing, users, histories)
    means = torch.stack([TEXT[list(history[-10:])].mean(0)[:WIDTH] for history in histories])
    torch.testing.assert_close(torch.from_numpy(mixtures), gate(means).detach())


def test_narrow_readings_are_filled_with_zeros(encoder: SASRec, loo: Split) -> None:
    recipe = load_recipe("demo-cpu", ["adapter.gate_reads=tokens"])
    reading = gate_reading(recipe, encoder, loo, TEXT[:, :3])
    read = reading.read(torch.randn(1, WIDTH), torch.tensor([0]), torch.tensor([[7]]))
    assert torch.equal(read[0, :3], TEXT[7, :3]) and not read[0, 3:].any()


# ---------------------------------------------------------------------- all else is iLoRA's


@pytest.fixture(scope="module")
def features(encoder: SASRec) -> ItemFeatures:
    torch.manual_seed(5)
    known = torch.ones(ITEMS, dtype=torch.bool)
    return ItemFeatures(encoder.items.weight[:-1].detach().clone(), torch.randn(ITEMS, 16), known)


@pytest.fixture(scope="module")
def objective_of(
    shallow_folder: Path, features: ItemFeatures, encoder: SASRec, loo: Split
) -> Callable[[str], tuple[Objective, Backbone]]:
    def make(reads: str) -> tuple[Objective, Backbone]:
        backbone = load_backbone(str(shallow_folder), "fp32", device="cpu")
        recipe = load_recipe("demo-cpu", [f"adapter.gate_reads={reads}", "adapter.gate_init=random"])
        model = new_model(backbone, features, recipe)
        return Objective(model, encoder, "ilora", gate_reading(recipe, encoder, loo, features.text)), backbone

    return make


def batch_of(objective: Objective, backbone: Backbone, movielens: Dataset) -> dict[str, Tensor]:
    """The first step's batch, as the run draws it."""
    rows = CatalogueRows(movielens.split("loo"), load_recipe("demo-cpu").rows, 8, 1, gate_length=20)
    collator = Collator(Wording.of(backbone.tokenizer, movielens.catalog), ITEMS)
    drawn = objective.reading.rows(rows)
    return collator([drawn[i] for i in range(8)])


def stirred(objective: Objective) -> Objective:
    """With B away from zero: where B is zero no mixture can matter."""
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, parameter in objective.named_parameters():
            if "experts_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return objective.eval()  # no dropout: losses can be compared


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_begins_as_ilora_does(
    objective_of: Callable[[str], tuple[Objective, Backbone]], movielens: Dataset, control: str
) -> None:
    ilora, backbone = objective_of("history")
    other, _ = objective_of(control)
    ours, theirs = trainable_state(ilora), trainable_state(other)
    assert ours.keys() == theirs.keys()  # as many parameters, and they begin with the same numbers
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    first, second = (batch_of(o, backbone, movielens) for o in (ilora, other))
    only_the_gate = {"gate_history", "gate_users"} if control == "shuffled" else set()
    assert {k for k in first if not torch.equal(first[k], second[k])} == only_the_gate
    assert first["users"].dtype == torch.int64


def test_the_loss_asks_with_what_the_gate_was_given_to_read(
    objective_of: Callable[[str], tuple[Objective, Backbone]], movielens: Dataset, encoder: SASRec
) -> None:
    found: dict[str, float] = {}
    for reads in ("history", *CONTROLS):
        objective, backbone = objective_of(reads)
        batch = batch_of(stirred(objective), backbone, movielens)
        with torch.no_grad():
            out = objective(**batch)
            sequence = encoder.last_state(batch["gate_history"])
            if reads == "static":
                sequence = torch.zeros(8, WIDTH)
            elif reads == "random":
                sequence = objective.reading.read(sequence, batch["users"], batch["gate_history"])
            gate = objective.model.gate_of("ilora")
            assert gate is not None
            torch.testing.assert_close(out["gate"], gate(sequence))
            naive = _naive_loss(objective, batch, sequence)
        assert out["loss"].item() == pytest.approx(naive, rel=1e-5)
        found[reads] = out["loss"].item()
    assert len({round(loss, 6) for loss in found.values()}) == 4  # the mixture does change the loss


def test_the_output_is_asked_at_every_position_with_what_is_known_there(
    objective_of: Callable[[str], tuple[Objective, Backbone]], movielens: Dataset, encoder: SASRec
) -> None:
    """iLoRA's loss knows each position's own history; a control has one reading for the whole row."""
    for reads in ("history", "static"):
        objective, backbone = objective_of(reads)
        experts = stirred(objective).model.space("ilora").experts
        assert experts is not None
        torch.nn.init.normal_(experts.B, std=0.05, generator=torch.Generator().manual_seed(8))
        batch = batch_of(objective, backbone, movielens)
        with torch.no_grad():
            loss = objective(**batch)["loss"].item()
            row = encoder.last_state(batch["gate_history"])
            row = torch.zeros_like(row) if reads == "static" else row
            each = tail_states(encoder, batch["history"], batch["targets"].shape[1])
            told, alike = _naive_loss(objective, batch, row, each), _naive_loss(objective, batch, row)
        assert abs(told - alike) > 1e-3, "it makes a difference"
        assert loss == pytest.approx(told if reads == "history" else alike, rel=1e-5)


def test_a_shuffled_history_is_read_by_the_encoder_that_never_saw_its_owner(
    shallow_folder: Path, features: ItemFeatures, encoder: SASRec, movielens: Dataset
) -> None:
    split = movielens.split("loo")
    torch.manual_seed(11)
    folds = [SASRec(encoder.shape).eval() for _ in range(2)]
    maps = alignments(folds, encoder, split)
    backbone = load_backbone(str(shallow_folder), "fp32", device="cpu")
    asked = ["adapter.gate_reads=shuffled", "adapter.gate_cross_fitted=true", "adapter.gate_init=random"]
    recipe = load_recipe("demo-cpu", asked)
    model = new_model(backbone, features, recipe)
    reading = gate_reading(recipe, encoder, split, features.text)
    objective = Objective(model, encoder, "ilora", reading, folds, maps=maps).eval()
    batch = batch_of(objective, backbone, movielens)
    with torch.no_grad():
        told = objective(**batch)["gate"]
    rows = reading.rows(CatalogueRows(split, load_recipe("demo-cpu").rows, 8, 1, gate_length=20))
    gate, crossing = model.gate_of("ilora"), 0
    assert gate is not None
    for place in range(8):
        row = rows[place]
        assert row.read_of is not None
        fold = row.read_of % 2
        history = pad_histories([row.seen_by_gate], ITEMS, 20)
        state = torch.cat([folds[fold].last_state(history), torch.ones(1, 1)], -1) @ maps[fold]
        torch.testing.assert_close(told[place], gate(state)[0].detach(), rtol=1e-4, atol=1e-5)
        crossing += fold != row.user % 2
    assert crossing, "some row's user is of the other fold"


def _naive_loss(
    objective: Objective, batch: dict[str, Tensor], sequence: Tensor, each: Tensor | None = None
) -> float:
    parts = ("words", "items", "positions", "mask", "history_end", "prefix_end", "branch_end")
    packed = Packed(**{name: batch.get(name) for name in parts})
    targets = batch["targets"]
    scores = objective.model.catalogue_scores(
        packed, "ilora", Mixture(sequence=sequence, each=each), targets.shape[1]
    )
    wrong = [
        -scores[b, t].log_softmax(-1)[target].item()
        for b, row in enumerate(targets.tolist())
        for t, target in enumerate(row)
        if target != IGNORED
    ]
    return sum(wrong) / len(wrong)


def test_a_static_gate_learns_through_its_bias_alone(
    objective_of: Callable[[str], tuple[Objective, Backbone]], movielens: Dataset
) -> None:
    objective, backbone = objective_of("static")
    stirred(objective)(**batch_of(objective, backbone, movielens))["loss"].backward()
    gate = objective.model.gate_of("ilora")
    assert gate is not None and isinstance(gate.network, torch.nn.Linear)
    assert gate.network.bias.grad is not None and gate.network.bias.grad.abs().max() > 1e-6
    assert gate.network.weight.grad is not None and gate.network.weight.grad.abs().max() == 0
