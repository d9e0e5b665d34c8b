"""A gate's numbers are what they are called, and its alarms notice what was broken on purpose."""

import numpy as np
import pytest
import torch

from core.data.dataset import Dataset
from core.encoder import EncoderShape, SASRec, TorchRouter
from core.errors import RunError
from core.gate import Gate
from core.studies.collapse import collapse, health, mutual_information, planted

WIDTH, EXPERTS = 16, 4


@pytest.fixture(scope="module")
def router(movielens: Dataset) -> TorchRouter:
    """A gate that tells people apart and uses every expert about alike."""
    torch.manual_seed(1)
    encoder = SASRec(EncoderShape(movielens.num_items, width=WIDTH, layers=1, max_length=20))
    with torch.no_grad():
        encoder.items.weight[:-1] *= 20
    gate = Gate(WIDTH, EXPERTS)
    with torch.no_grad():
        gate.network.weight *= 3
    return TorchRouter(encoder.eval(), gate)


def test_information_is_nothing_for_equal_mixtures_and_everything_for_sure_ones() -> None:
    clusters = ["a", "b", "c", "d"] * 50
    same = health(torch.tensor([[0.4, 0.3, 0.2, 0.1]]).expand(200, 4), clusters)
    assert same.information == pytest.approx(0.0, abs=1e-9) and same.clusters == pytest.approx(0.0, abs=1e-12)
    assert same.alarms == ("The gate ignores its input: shares differ between people by 0.0000 only.",)
    sure = health(torch.eye(4).repeat(50, 1), clusters)
    assert sure.information == pytest.approx(np.log(4)) and sure.clusters == pytest.approx(np.log(4))
    assert sure.clusters_by_chance < 0.1 and sure.shares == pytest.approx((0.25,) * 4)


def test_mutual_information_of_a_table_worked_by_hand() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    by_hand = 0.25 * np.log(0.25 / (0.5 * 0.25)) + 0.25 * np.log(0.25 / (0.5 * 0.75))
    by_hand += 0.5 * np.log(0.5 / (0.5 * 0.75))
    assert mutual_information(a, b) == pytest.approx(by_hand)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("hidden", [None, 8])
def test_each_planted_collapse_is_one(layers: int, hidden: int | None) -> None:
    torch.manual_seed(2)
    gate = Gate(WIDTH, EXPERTS, layers, hidden)
    before = {name: tensor.clone() for name, tensor in gate.state_dict().items()}
    read = torch.randn(50, WIDTH)
    with torch.inference_mode():
        told = {name: broken(read).reshape(-1, EXPERTS) for name, broken in planted(gate).items()}
    assert told["one expert for everybody"][:, 0].min() > 0.99
    assert told["one expert for nobody"][:, 0].max() < 0.01
    assert told["the same mixture for everybody"].view(50, -1).std(0).max() < 1e-6
    assert all(torch.equal(tensor, before[name]) for name, tensor in gate.state_dict().items())


def test_alarms_notice_every_planted_collapse_of_a_healthy_gate(
    router: TorchRouter, movielens: Dataset
) -> None:
    finding = collapse(router, movielens.split("loo"))
    gates = finding.numbers["gates"]
    assert gates["trained"]["alarms"] == () and gates["trained"]["dead"] == 0
    assert gates["trained"]["information"] > 0.01
    assert all(one["alarms"] for name, one in gates.items() if name != "trained")
    assert "Of 3 planted collapses the alarms noticed 3" in finding.sentence
    assert finding == collapse(router, movielens.split("loo")), "the same every time"


def test_what_has_no_gate_or_no_people_is_refused(router: TorchRouter, movielens: Dataset) -> None:
    with pytest.raises(RunError, match="no gate"):
        collapse(TorchRouter(router.encoder, None), movielens.split("loo"))
    few = movielens.split("loo")
    with pytest.raises(RunError, match="too few"):
        collapse(router, type(few)(few.name, few.train, few.train_users, (), few.test[:7]))
