"""A whole bundle with random weights on the real backbone and catalogue: for what need not be trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from peft import get_peft_model

from core.assembly import stored_model
from core.assets import BACKBONE, asset, fetch
from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.encoder import EncoderShape, SASRec
from core.ilora import ILoraConfig
from core.item_space import ItemFeatures, ItemSpace
from core.item_text import TextSpace
from core.prompt import Wording
from core.ranker import Ranker
from core.ranking_model import BranchHead
from core.training.prepare import Prepared
from exports.bundle import AdapterParts, save_bundle
from exports.bundle_info import AdapterInfo, BackboneInfo, BundleInfo, DatasetInfo
from quant.backbone import load_backbone
from tests.core.training.conftest import quick_recipe, settings, shallow_folder

__all__ = ["quick_recipe", "settings", "shallow_folder"]  # fixtures of a training run that takes seconds

EXPERTS = {"ilora": 4, "lora": 1}
RANK, COMPONENTS, HISTORY = 8, 16, 20


@dataclass(frozen=True)
class Made:
    """A saved bundle, and the parts it was saved from."""

    path: Path
    info: BundleInfo
    prepared: Prepared
    parts: dict[str, AdapterParts]
    ranker: Ranker


@pytest.fixture(scope="session")
def movielens() -> Dataset:
    return load_dataset("movielens")


@pytest.fixture(scope="session")
def histories(movielens: Dataset) -> list[tuple[int, ...]]:
    """1,000 real ones, among them the empty one, single items and some longer than any encoder reads."""
    cases = movielens.split("loo").test
    some = [case.history[-(1 + case.user % 80) :] for case in cases]
    long = [case.history for case in cases if len(case.history) > 60]
    return [(), *((item,) for item in range(20)), *long[: 1000 - 21 - len(some)], *some][:1000]


@pytest.fixture(scope="session")
def made(movielens: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(5)
    backbone = load_backbone(fetch(BACKBONE) / asset(BACKBONE).members[0].file_name)
    prepared = _prepared(len(movielens.catalog), backbone.hidden_size)
    decoder = backbone.model.get_decoder()
    for name, experts in EXPERTS.items():
        config = ILoraConfig(r=RANK, num_experts=experts, lora_alpha=32, gate_width=64)
        if name == "ilora":
            decoder = get_peft_model(decoder, config, adapter_name=name)
        else:
            decoder.add_adapter(name, config)
    for key, parameter in decoder.named_parameters():
        if "experts_" in key:  # bf16 numbers, so that saving rounds nothing off
            parameter.data = (0.02 * torch.randn_like(parameter)).bfloat16().float()
    decoder.save_pretrained(folder / "peft")
    decoder.unload()
    spaces = {n: ItemSpace(prepared.features, backbone.hidden_size, backbone.embedding_norm) for n in EXPERTS}
    heads = {name: BranchHead(backbone.hidden_size) for name in EXPERTS}
    for head in heads.values():
        torch.nn.init.normal_(head.network[-1].weight)
    parts = {
        n: AdapterParts(folder / "peft" / n, spaces[n].state_dict(), heads[n].state_dict()) for n in EXPERTS
    }
    model = stored_model(backbone, {name: folder / "peft" / name for name in EXPERTS}, spaces, heads)
    wording = Wording.of(backbone.tokenizer, movielens.catalog)
    info = BundleInfo(
        name="random",
        created_by="pytest",
        dataset=DatasetInfo(name="movielens", sha256=movielens.sha256),
        backbone=BackboneInfo(
            asset=BACKBONE, version=asset(BACKBONE).version, sha256=backbone.sha256, quantization="nf4"
        ),
        adapters={n: AdapterInfo(rank=RANK, num_experts=k, lora_alpha=32) for n, k in EXPERTS.items()},
        encoder_width=64,
        history_length=HISTORY,
        licences={"code": "Apache-2.0"},
    )
    saved = save_bundle(folder / "random", info, prepared, parts)
    yield Made(
        folder / "random", saved, prepared, parts, Ranker(model, wording, HISTORY, prepared.title_prior)
    )


def _prepared(num_items: int, hidden: int) -> Prepared:
    encoder = SASRec(EncoderShape(num_items)).eval()
    known = torch.arange(num_items) % 50 != 0
    return Prepared(
        encoder=encoder,
        features=ItemFeatures(
            collaborative=encoder.items.weight[:-1].detach() * known.unsqueeze(1),
            text=torch.randn(num_items, COMPONENTS).half().float(),
            known=known,
        ),
        text_space=TextSpace(torch.zeros(hidden), torch.randn(hidden, COMPONENTS)),
        title_prior=-10 * torch.rand(num_items),
        popularity=torch.arange(num_items).float(),
        encoder_epochs=0,
        encoder_validation=0.0,
        encoder_seconds=0.0,
    )
