"""A whole bundle with random weights over the real backbone and a real catalogue, in a few seconds."""

from dataclasses import dataclass
from pathlib import Path

import torch
from peft import get_peft_model

from core.assembly import stored_model
from core.assets import BACKBONE, asset, fetch
from core.data.dataset import Dataset
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


def random_bundle(dataset: Dataset, named: str, folder: Path, name: str = "random") -> Made:
    """A bundle called `name` in `folder`, for the data set that `load_dataset(named)` gives."""
    torch.manual_seed(5)
    backbone = load_backbone(fetch(BACKBONE) / asset(BACKBONE).members[0].file_name)
    prepared = _prepared(len(dataset.catalog), backbone.hidden_size)
    decoder = backbone.model.get_decoder()
    for adapter, experts in EXPERTS.items():
        config = ILoraConfig(r=RANK, num_experts=experts, lora_alpha=32, gate_width=64)
        if adapter == "ilora":
            decoder = get_peft_model(decoder, config, adapter_name=adapter)
        else:
            decoder.add_adapter(adapter, config)
    for key, parameter in decoder.named_parameters():
        if "experts_" in key:  # bf16 numbers, so that saving rounds nothing off
            parameter.data = (0.02 * torch.randn_like(parameter)).bfloat16().float()
    decoder.save_pretrained(folder / "peft")
    decoder.unload()
    spaces = {n: ItemSpace(prepared.features, backbone.hidden_size, backbone.embedding_norm) for n in EXPERTS}
    heads = {adapter: BranchHead(backbone.hidden_size) for adapter in EXPERTS}
    for head in heads.values():
        torch.nn.init.normal_(head.network[-1].weight)
    parts = {
        n: AdapterParts(folder / "peft" / n, spaces[n].state_dict(), heads[n].state_dict()) for n in EXPERTS
    }
    model = stored_model(backbone, {n: folder / "peft" / n for n in EXPERTS}, spaces, heads)
    wording = Wording.of(backbone.tokenizer, dataset.catalog, dataset.domain)
    info = BundleInfo(
        name=name,
        created_by="pytest",
        dataset=DatasetInfo(name=named, sha256=dataset.sha256),
        backbone=BackboneInfo(
            asset=BACKBONE, version=asset(BACKBONE).version, sha256=backbone.sha256, quantization="nf4"
        ),
        adapters={n: AdapterInfo(rank=RANK, num_experts=k, lora_alpha=32) for n, k in EXPERTS.items()},
        encoder_width=64,
        history_length=HISTORY,
        licences={"code": "Apache-2.0"},
    )
    saved = save_bundle(folder / name, info, prepared, parts)
    return Made(folder / name, saved, prepared, parts, Ranker(model, wording, HISTORY, prepared.title_prior))


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
