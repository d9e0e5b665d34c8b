"""Bundles: trained parts as one portable folder. `load_bundle` makes the product's Recommender of one.

exports/bundles/movielens/
    bundle.json             what it is, for what, how good, and the sha256 of every file
    gate.onnx               encoder, gate and retrieval (see `exports.onnx_router`)
    ilora/, lora/           PEFT folders, their matrices in bf16, or in eight bits where it has to be small
    projector.safetensors   `ilora.*`, `lora.*`: item spaces and heads; `items.*`: what is known of the items
    README.md               the model card
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from core.assembly import stored_model
from core.assets import ASSETS, Progress, fetch
from core.collaborative import Stack, StackedRouter
from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.domain import Domain
from core.errors import BundleError
from core.growth import GrownRouter
from core.item_space import ItemSpace, OutputExperts
from core.new_items import NewItem, extended
from core.prompt import Wording
from core.ranker import Ranker
from core.ranking_model import BranchHead
from core.recommendation import AdapterName
from core.recommender import Choices, Recommender
from core.routing import Router
from exports.bundle_check import verify_bundle
from exports.bundle_growth import BundleItems, bundle_items, read_projector, under
from exports.bundle_info import DEFAULT_BUNDLE, INFO, ROUTER, BackboneInfo, BundleInfo
from exports.bundle_writer import AdapterParts, save_bundle, update_bundle
from exports.onnx_router import OnnxRouter
from quant.backbone import Backbone, Quantization, Weights
from quant.shared import Backbones

__all__ = [
    "DEFAULT_BUNDLE",
    "AdapterParts",
    "BundleInfo",
    "load_bundle",
    "save_bundle",
    "update_bundle",
    "verify_bundle",
]

Say = Callable[[str], None]


def load_bundle(
    path: Path = DEFAULT_BUNDLE,
    quantization: Quantization | None = None,
    device: str | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    weights: Weights = "nf4",
    new_items: Sequence[NewItem] = (),
    backbones: Backbones | None = None,
) -> Recommender:
    """A folder -> a Recommender that answers.

    Args:
        path: the bundle.
        quantization: how to hold the backbone; None is as it was trained.
        device: torch device of the backbone; None is the first CUDA device, else the CPU.
        say: told one sentence before each slow step.
        progress: told about downloads.
        dataset: the bundle's data set, where it is loaded already.
        weights: "cached" takes more memory and answers sooner (`quant.backbone.load_backbone`).
        new_items: stand behind the catalogue and are recommended at once, known by their words alone.
        backbones: those that other bundles have loaded; the same one is not held twice.

    Raises:
        BundleError: missing, damaged, too new, or made for another data set or backbone.
        AssetError: data set or backbone cannot be fetched.
        DataError: the id or title of a new item is taken.
    """
    say = say or (lambda _: None)
    path = Path(path)
    say("Checking the bundle.")
    info = verify_bundle(path)
    if dataset is None:
        say(f"Reading {info.dataset.name}.")
        dataset = load_dataset(info.dataset.name, progress)
    _same_dataset(path, info, dataset)
    extended(dataset.catalog, new_items)  # what clashes is told before the slow part
    backbone = _load_backbone(
        path, info.backbone, quantization, device, say, progress, weights, backbones or Backbones()
    )
    tensors = read_projector(path)
    onnx = OnnxRouter(path / ROUTER)
    try:
        _check_router(onnx, info, dataset)
        if new_items:
            say(f"Reading {len(new_items)} new items.")
        items = bundle_items(dataset, backbone, tensors, new_items)
        say("Attaching the experts.")
        ranker = _ranker(path, info, items, dataset.domain, backbone, tensors)
    except (IndexError, KeyError, RuntimeError, ValueError) as error:
        # Hashes fit, contents do not: saved by other code.
        reason = " ".join(str(error).split())
        raise BundleError(f"The bundle at {path} does not fit together: {reason} Train it again.") from error
    router: Router = onnx
    if (stack := Stack.of_tensors(tensors)) is not None:
        router = StackedRouter(onnx, stack)
    if new_items:
        foretold = items.foretold.numpy() * np.float32(1 if stack is None else stack.encoder)
        router = GrownRouter(router, len(dataset.catalog), foretold)
    return Recommender(
        catalog=items.catalog,
        router=router,
        ranker=ranker,
        popularity=items.popularity.numpy(),
        choices=_choices(info),
        trained_items=len(dataset.catalog),
        domain=dataset.domain,
    )


def _choices(info: BundleInfo) -> Mapping[AdapterName, Choices]:
    return {
        name: Choices(adapter.blend_weight, rerank=adapter.second_stage == "branch")
        for name, adapter in info.adapters.items()
    }


def _same_dataset(path: Path, info: BundleInfo, dataset: Dataset) -> None:
    if dataset.sha256 != info.dataset.sha256:
        raise BundleError(
            f"The bundle at {path} was trained on another {info.dataset.name} (sha256 "
            f"{info.dataset.sha256[:12]}…, here {dataset.sha256[:12]}…): train it again."
        )


def _check_router(router: OnnxRouter, info: BundleInfo, dataset: Dataset) -> None:
    experts = max(adapter.num_experts for adapter in info.adapters.values())
    expected = (len(dataset.catalog), info.encoder_width, experts)
    found = (router.shape.num_items, router.shape.width, router.shape.num_experts)
    if found != expected:
        raise ValueError(f"the router has (items, width, experts) {found}, {INFO} says {expected}.")


def _load_backbone(
    path: Path,
    wanted: BackboneInfo,
    quantization: Quantization | None,
    device: str | None,
    say: Say,
    progress: Progress | None,
    weights: Weights,
    backbones: Backbones,
) -> Backbone:
    known = ASSETS.get(wanted.asset)
    if known is None:
        source, revision = wanted.asset, wanted.version or None
    else:
        source, revision = str(fetch(wanted.asset, progress) / known.members[0].file_name), None
    backbone = backbones.load(
        source,
        quantization or wanted.quantization,
        device,
        revision=revision,
        progress=say,
        weights=weights,
    )
    if backbone.sha256 != wanted.sha256:
        raise BundleError(
            f"The bundle at {path} belongs to another {wanted.asset} (sha256 {wanted.sha256[:12]}…, here "
            f"{backbone.sha256[:12]}…): its adapters need the one they were trained on."
        )
    return backbone


def _ranker(
    path: Path,
    info: BundleInfo,
    items: BundleItems,
    domain: Domain,
    backbone: Backbone,
    tensors: Mapping[str, Tensor],
) -> Ranker:
    spaces: dict[str, ItemSpace] = {}
    branches: dict[str, BranchHead] = {}
    for name, adapter in info.adapters.items():
        state = items.space_of(name, tensors, adapter.new_item_stretch)
        experts = OutputExperts.fitting(state, adapter.num_experts, adapter.lora_alpha)
        space = ItemSpace(items.features, backbone.hidden_size, backbone.embedding_norm, experts=experts)
        space.load_state_dict(state)
        head = BranchHead(backbone.hidden_size)
        head.load_state_dict(under(f"{name}.branch.", tensors))
        spaces[name], branches[name] = space, head
    model = stored_model(backbone, {name: path / name for name in info.adapters}, spaces, branches)
    wording = Wording.of(backbone.tokenizer, items.catalog, domain)
    return Ranker(model, wording, info.history_length, items.title_prior)
