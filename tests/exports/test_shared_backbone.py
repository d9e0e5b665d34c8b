"""Two bundles over one backbone: each answers as if it were alone, and no weight is held twice."""

import torch
from torch import Tensor

from core.data.dataset import Dataset
from core.recommender import Recommender
from exports.bundle import DEFAULT_BUNDLE, load_bundle
from quant.shared import Backbones
from tests.exports.random_bundle import Made

HISTORIES = [(99, 180, 241)]


def _scores(recommender: Recommender) -> Tensor:
    routing = recommender.router.route(HISTORIES)
    asked = [recommender.ranker.score(routing, HISTORIES, adapter=name) for name in ("ilora", "lora")]
    return torch.cat(asked)


def _frozen(recommender: Recommender) -> dict[int, int]:
    """Address and size of every weight that no adapter owns."""
    named = recommender.ranker.model.decoder.named_parameters()
    return {p.data_ptr(): p.numel() for name, p in named if "experts_" not in name and "lora_" not in name}


def test_each_answers_as_alone_and_the_weights_are_there_once(made: Made, movielens: Dataset) -> None:
    backbones = Backbones()
    one = load_bundle(made.path, dataset=movielens, backbones=backbones)
    routing = one.router.route(HISTORIES)
    alone = torch.cat([made.ranker.score(routing, HISTORIES, adapter=name) for name in ("ilora", "lora")])
    assert torch.equal(_scores(one), alone)
    two = load_bundle(DEFAULT_BUNDLE, dataset=movielens, backbones=backbones)
    product = _scores(two)
    assert torch.equal(_scores(one), alone) and not torch.equal(product, alone)
    assert torch.equal(_scores(two), product)
    held = _frozen(one)
    assert held == _frozen(two) and sum(held.values()) > 50_000_000
