"""A run's encoder, gate, item space and head stand where its backbone does, and are asked from the CPU."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.assembly import new_model
from core.data.dataset import Dataset
from core.encoder import SASRec, TorchRouter
from core.gate import Gate
from core.gate_reading import gate_reading
from core.ilora import adapter_parameters
from core.item_space import ItemFeatures
from core.prompt import Wording
from core.ranker import Mode, Ranker
from core.ranking_model import RankingModel
from core.routing import Routing
from core.studies.collapse import collapse
from core.studies.gradients import gradient
from core.training.cross_fitting import alignments
from core.training.encoder_training import history_scores
from core.training.objective import Objective
from core.training.recipe import load_recipe
from core.training.rows import CatalogueRows, Collator
from tests.core.ranking.conftest import open_shallow
from tests.pretended_gpu import GPU, pretended_gpu

HISTORIES = [(1, 2, 3), (4,), ()]


@pytest.fixture(scope="module")
def moved(encoder: SASRec) -> SASRec:
    """The encoder as the trainer leaves it on a GPU."""
    return copy.deepcopy(encoder).to(GPU)


@pytest.fixture(scope="module", params=["lora", "ilora"])
def model(request: pytest.FixtureRequest, features: ItemFeatures) -> RankingModel:
    """A run's model over a backbone on the GPU."""
    backbone = open_shallow()
    backbone.model.to(GPU)
    return new_model(replace(backbone, device=GPU), features, load_recipe("demo-cpu", method=request.param))


def test_a_router_reads_people_where_its_encoder_and_its_gate_stand(moved: SASRec) -> None:
    width, num_items = moved.shape.width, moved.shape.num_items
    for gate, experts in ((None, 1), (Gate(width, 4), 4), (Gate(width, 4).to(GPU), 4)):
        with pretended_gpu():
            told = TorchRouter(moved, gate, retrieve=20).route(HISTORIES)
        assert told.sequence.shape == (3, width) and told.gate.shape == (3, experts)
        assert told.scores.shape == (3, num_items) and told.retrieved.shape == (3, 20)


def test_what_else_asks_an_encoder_asks_it_where_it_stands(moved: SASRec, movielens: Dataset) -> None:
    split = movielens.split("loo")
    recipe = load_recipe("demo-cpu", ["adapter.gate_reads=random"])
    with pretended_gpu():
        assert history_scores(moved, HISTORIES).shape == (3, moved.shape.num_items)
        reading = gate_reading(recipe, moved, split, torch.zeros(moved.shape.num_items, 16))
        assert alignments([moved], moved, split)[0].device == GPU
    assert reading.mean is not None and reading.mean.device.type == "cpu", "added to noise that numpy draws"


def test_a_new_model_ranks_where_its_backbone_lies(model: RankingModel, wording: Wording) -> None:
    assert {tensor.device for tensor in (*model.parameters(), *model.buffers())} == {GPU}
    ranker = Ranker(model, wording, history_length=20, title_prior=torch.zeros(len(wording.titles)))
    (adapter,), candidates = model.adapters, np.arange(12).reshape(3, 4)
    gate, nothing = model.gate_of(adapter), np.zeros((3, 0), dtype=np.float32)
    mixtures = np.ones((3, 1 if gate is None else gate.num_experts), dtype=np.float32)
    routing = Routing(nothing, mixtures, nothing, nothing.astype(np.int64))
    modes: tuple[Mode, ...] = ("catalogue", "branch")
    for mode in modes:
        with pretended_gpu():
            scores = ranker.score(routing, HISTORIES, candidates, adapter, mode=mode)
        assert scores.shape == (3, 4) and scores.device.type == "cpu"


class Batches(Objective):
    """Asks nothing of the model, but where the batches are."""

    def forward(self, **batch: Tensor) -> dict[str, Any]:  # type: ignore[override]
        assert {tensor.device for tensor in batch.values()} == {GPU}
        parameters = adapter_parameters(self.model.decoder, self.adapter)
        return {"loss": sum(p.sum() for p in parameters), "targets": torch.tensor(1)}


def test_a_study_takes_gradients_where_the_model_lies(
    model: RankingModel, moved: SASRec, movielens: Dataset, wording: Wording
) -> None:
    rows = CatalogueRows(movielens.split("loo"), load_recipe("demo-cpu").rows, 0, 1, 20)
    objective = Batches(model, moved, model.adapters[0])
    with pretended_gpu():
        flat = gradient(objective, Collator(wording, len(movielens.catalog)), [rows[0], rows[1]])
        assert flat.device.type == "cpu", "compared by numpy"


def test_a_study_looks_for_a_collapse_wherever_the_gate_stands(moved: SASRec, movielens: Dataset) -> None:
    router = TorchRouter(moved, Gate(moved.shape.width, 4).to(GPU))
    with pretended_gpu():
        finding = collapse(router, movielens.split("loo"))
    assert finding.numbers["experts"] == 4
