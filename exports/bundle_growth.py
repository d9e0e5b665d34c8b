"""A bundle's items, and new ones behind them that it reads when it is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from core.assembly import bare_model
from core.catalog import Catalog
from core.data.dataset import Dataset
from core.growth import behind, foretold, grown_features, grown_space, stretched
from core.item_space import ItemFeatures
from core.item_text import TextSpace, read_items, title_priors
from core.new_items import NewItem, extended
from core.prompt import Wording
from core.training.prepare import stored_scale
from exports.bundle_info import ADAPTERS, PROJECTOR
from quant.backbone import Backbone


@dataclass(frozen=True)
class BundleItems:
    """What a bundle knows of N items, and of M new ones.

    Attributes:
        catalog: N + M items.
        trained: features of the N.
        features: of all; those of new items are text alone, and count as known, as they have vectors.
        title_prior, popularity: [N + M]; nobody had a new item yet.
        foretold: [M, D], what the router scores new items by.
    """

    catalog: Catalog
    trained: ItemFeatures
    features: ItemFeatures
    title_prior: Tensor
    popularity: Tensor
    foretold: Tensor

    def space_of(self, adapter: str, tensors: Mapping[str, Tensor], stretch: float) -> dict[str, Tensor]:
        """The state of an adapter's item space, with rows for new items."""
        stored, n = under(f"{adapter}.space.", tensors), len(self.trained.known)
        place = behind(n, len(self.catalog))
        new = stretched(stored, self.trained, self.features.text[n:], stretch)
        return grown_space(stored, self.trained, place, place >= 0, torch.cat([stored["vectors"], new]))


def bundle_items(
    dataset: Dataset, backbone: Backbone, tensors: Mapping[str, Tensor], new: Sequence[NewItem]
) -> BundleItems:
    """Read what a bundle keeps of its items, and let the backbone, bare as yet, read the new ones.

    Raises:
        DataError: a new item's id or title is in the catalogue already.
        KeyError: the bundle lacks a tensor.
    """
    trained = ItemFeatures(
        collaborative=tensors["items.collaborative"],
        text=tensors["items.text"].float(),
        known=tensors["items.known"],
        scale=stored_scale(tensors.get("items.scale")),
    )
    prior, popularity = tensors["items.title_prior"], tensors["items.popularity"].long()
    n = len(trained.known)
    if not new:
        nothing = trained.collaborative[:0]
        return BundleItems(dataset.catalog, trained, trained, prior, popularity, nothing)
    catalog = extended(dataset.catalog, new)
    readings = read_items(backbone, catalog.items[n:], domain=dataset.domain)
    text = TextSpace(tensors["items.text_mean"], tensors["items.text_basis"]).place(readings)
    wording = Wording.of(backbone.tokenizer, catalog, dataset.domain)
    features = grown_features(trained, behind(n, len(catalog)), text)
    return BundleItems(
        catalog=catalog,
        trained=trained,
        features=replace(features, known=torch.cat([trained.known, torch.ones(len(new), dtype=torch.bool)])),
        title_prior=torch.cat(
            [prior, title_priors(bare_model(backbone), wording, items=range(n, len(catalog)))]
        ),
        popularity=torch.cat([popularity, popularity.new_zeros(len(new))]),
        foretold=foretold(trained, text),
    )


def read_projector(bundle: Path) -> dict[str, Tensor]:
    """What a bundle keeps beside adapters and router; item spaces and heads in fp32, however kept."""
    own = tuple(f"{name}." for name in ADAPTERS)
    tensors = load_file(bundle / PROJECTOR, device="cpu")
    return {
        key: value.float() if key.startswith(own) and value.is_floating_point() else value
        for key, value in tensors.items()
    }


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
