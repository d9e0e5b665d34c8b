"""The real backbone in float32, cut to four layers, with random experts, items and heads."""

import copy

import pytest
import torch

from core.assembly import new_model
from core.assets import BACKBONE, fetch
from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.encoder import EncoderShape, SASRec, TorchRouter
from core.item_space import ItemFeatures
from core.prompt import Wording
from core.ranker import Ranker
from core.ranking_model import RankingModel
from core.training.recipe import Recipe
from quant.backbone import Backbone, load_backbone

LAYERS = 4


@pytest.fixture(scope="session")
def movielens() -> Dataset:
    return load_dataset("movielens")


@pytest.fixture(scope="session")
def shallow_backbone() -> Backbone:
    """SmolLM2-135M in float32, its first four layers; adapters of the session's fixtures lie on it."""
    return open_shallow()


def open_shallow() -> Backbone:
    """The same, without any adapter."""
    backbone = load_backbone(next(fetch(BACKBONE).glob("*.gguf")), "fp32", device="cpu")
    decoder = backbone.model.get_decoder()
    decoder.layers = decoder.layers[:LAYERS]
    decoder.config.num_hidden_layers = LAYERS
    return backbone


@pytest.fixture(scope="session")
def wording(shallow_backbone: Backbone, movielens: Dataset) -> Wording:
    return Wording.of(shallow_backbone.tokenizer, movielens.catalog)


@pytest.fixture(scope="session")
def encoder(movielens: Dataset) -> SASRec:
    torch.manual_seed(3)
    encoder = SASRec(EncoderShape(len(movielens.catalog)))
    with torch.no_grad():
        encoder.items.weight[:-1] *= 20  # states of different histories must differ
    return encoder.eval()


@pytest.fixture(scope="session")
def features(encoder: SASRec) -> ItemFeatures:
    torch.manual_seed(4)
    items = encoder.shape.num_items
    known = torch.arange(items) != items - 1  # the last item was never seen in training
    return ItemFeatures(
        encoder.items.weight[:-1].detach() * known.unsqueeze(1), torch.randn(items, 16), known
    )


@pytest.fixture(scope="session")
def model(shallow_backbone: Backbone, features: ItemFeatures) -> RankingModel:
    """One iLoRA adapter whose B, vectors and head are stirred: fresh zeros would let every test pass."""
    backbone = copy.copy(shallow_backbone)
    model = new_model(backbone, features, Recipe(method="ilora"))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (
                "experts_B" in name or "branches" in name or "vector_text" in name
            ):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model.eval()


@pytest.fixture(scope="session")
def ranker(model: RankingModel, wording: Wording) -> Ranker:
    return Ranker(model, wording, history_length=20, title_prior=torch.zeros(len(wording.titles)))


@pytest.fixture(scope="session")
def router(encoder: SASRec, model: RankingModel) -> TorchRouter:
    return TorchRouter(encoder, model.gate_of("ilora"))


@pytest.fixture(scope="session")
def histories(movielens: Dataset) -> list[tuple[int, ...]]:
    """Real ones of many lengths, the empty one included."""
    cases = movielens.split("loo").test
    lengths = (0, 1, 2, 5, 10, 20)
    return [case.history[len(case.history) - n :] for n, case in zip(lengths, cases, strict=False)]
