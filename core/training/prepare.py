"""What every run of one recipe shares and is computed once: the encoder, the item features, the title priors.

Kept in the cache under a key of everything it depends on, and copied into each run folder, so that a run
folder is whole by itself and two methods of one comparison stand on the very same numbers.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count, takewhile
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.assembly import bare_model
from core.assets import cache_root
from core.data.dataset import Dataset, Split
from core.data.leakage import check_counts
from core.domain import MOVIES
from core.encoder import EncoderShape, SASRec
from core.errors import RunError
from core.item_space import ItemFeatures
from core.item_text import TextSpace, read_items, title_priors
from core.prompt import Wording
from core.training.cross_fitting import cross_fitted
from core.training.encoder_training import EncoderEpoch, train_encoder
from core.training.recipe import Recipe
from quant.backbone import Backbone

FORMAT = 1
"""Raised when what is computed here changes meaning: old cache entries are then not used."""
WEIGHTS, RECORD = "prepared.safetensors", "prepared.json"

Step = Callable[[str, int, int], None]
"""Told (what is being done, done so far, in all)."""


@dataclass(frozen=True)
class Prepared:
    """Everything frozen that stands beside the backbone.

    Attributes:
        encoder: trained SASRec, eval mode.
        features: collaborative and text vectors of all items.
        text_space: places new items' text.
        title_prior: [N] float32 nats.
        popularity: [N] float32, interactions per item in the training sequences.
        encoder_epochs, encoder_validation, encoder_seconds: how the encoder came about (NDCG@10, full
            catalogue).
        folds: encoders that know the users of other folds only (`core.training.cross_fitting`); none where
            the recipe asks for no residual.
    """

    encoder: SASRec
    features: ItemFeatures
    text_space: TextSpace
    title_prior: Tensor
    popularity: Tensor
    encoder_epochs: int
    encoder_validation: float
    encoder_seconds: float
    folds: tuple[SASRec, ...] = ()


def prepared_key(dataset: Dataset, recipe: Recipe, backbone_sha256: str, folds: bool = False) -> str:
    """Hash of all that the prepared tensors depend on, `folds` among them or not."""
    domain = dataset.domain
    # Films were there before other kinds: without the noun, what is kept for them stays valid.
    noun = [] if domain == MOVIES else [domain.noun]
    parts = {
        "format": FORMAT,
        "dataset": dataset.sha256,
        "split": recipe.split,
        "encoder": recipe.encoder.model_dump(),
        "seed": recipe.run.seed,
        "backbone": backbone_sha256,
        "quantization": recipe.model.quantization,
        "compute": recipe.model.compute,
        "text_components": recipe.model.text_components,
        "wording": [domain.instruction, domain.question, *noun],
    }
    if folds:
        parts["folds"] = recipe.model.folds
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def prepare(
    dataset: Dataset,
    recipe: Recipe,
    backbone: Backbone,
    wording: Wording,
    step: Step = lambda what, done, total: None,
    watch: Callable[[EncoderEpoch], None] = lambda _: None,
) -> tuple[Prepared, Path]:
    """The prepared parts and their cache folder; computed on first use (about four minutes on 2 cores, and
    one or two more for each encoder of other users).

    Encoders of other users, where the recipe asks for them, lie beside the parts that runs without them have.

    Raises:
        DataError: the kept popularity counts are not those of the split's training sequences.
    """
    split = dataset.split(recipe.split)
    prepared, folder = _kept(
        prepared_key(dataset, recipe, backbone.sha256),
        lambda: _compute(dataset, split, recipe, backbone, wording, step, watch),
    )
    if recipe.cross_fits:
        prepared, folder = _kept(
            prepared_key(dataset, recipe, backbone.sha256, folds=True),
            lambda: replace(prepared, folds=cross_fitted(split, len(dataset.catalog), recipe, watch)),
        )
    check_counts(dataset, split, prepared.popularity.tolist())
    return prepared, folder


def _kept(key: str, compute: Callable[[], Prepared]) -> tuple[Prepared, Path]:
    """What the cache holds under a key, and where; computed if it is not there, once among processes."""
    folder = cache_root() / "prepared" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / RECORD).is_file():
            prepared = compute()
            temporary = folder.with_suffix(".partial")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_prepared(prepared, temporary)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
    return load_prepared(folder), folder


def _compute(
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    backbone: Backbone,
    wording: Wording,
    step: Step,
    watch: Callable[[EncoderEpoch], None],
) -> Prepared:
    trained = train_encoder(dataset, split, recipe.encoder, recipe.run.seed, watch)
    popularity = torch.zeros(len(dataset.catalog))
    for sequence in split.train:
        popularity.index_add_(0, torch.tensor(sequence), torch.ones(len(sequence)))
    readings = read_items(
        backbone,
        dataset.catalog.items,
        watch=lambda d, n: step("Reading item texts", d, n),
        domain=dataset.domain,
    )
    text_space = TextSpace.fit(readings, recipe.model.text_components)
    known = popularity > 0
    collaborative = trained.encoder.items.weight[:-1].detach() * known.unsqueeze(1)
    priors = title_priors(bare_model(backbone), wording, watch=lambda d, n: step("Weighing titles", d, n))
    return Prepared(
        encoder=trained.encoder,
        features=ItemFeatures(collaborative.clone(), text_space.place(readings), known),
        text_space=text_space,
        title_prior=priors,
        popularity=popularity,
        encoder_epochs=trained.best_epoch,
        encoder_validation=trained.validation,
        encoder_seconds=trained.seconds,
    )


def save_prepared(prepared: Prepared, folder: Path) -> None:
    """Write what `load_prepared` reads, into a folder that is there."""
    tensors = {f"encoder.{name}": t for name, t in prepared.encoder.state_dict().items()}
    tensors |= {
        f"features.{name}": getattr(prepared.features, name) for name in ("collaborative", "text", "known")
    }
    tensors |= {"text.mean": prepared.text_space.mean, "text.basis": prepared.text_space.basis}
    for fold, encoder in enumerate(prepared.folds):
        tensors |= {f"fold.{fold}.{name}": t for name, t in encoder.state_dict().items()}
    tensors |= {"title_prior": prepared.title_prior, "popularity": prepared.popularity}
    if prepared.features.scale is not None:
        tensors["features.scale"] = torch.tensor(prepared.features.scale, dtype=torch.float64)
    save_file({name: t.contiguous().clone() for name, t in tensors.items()}, folder / WEIGHTS)
    record = {
        "encoder": asdict(prepared.encoder.shape),
        "encoder_epochs": prepared.encoder_epochs,
        "encoder_validation": prepared.encoder_validation,
        "encoder_seconds": prepared.encoder_seconds,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")


def shared_digest(folder: Path) -> str:
    """sha256 of what runs of one comparison have in common: all tensors but encoders of other users."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(folder / WEIGHTS).items()):
        if not name.startswith("fold."):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def load_prepared(folder: Path) -> Prepared:
    """Read what `prepare` wrote. Raises RunError when the folder does not hold it."""
    if not (folder / RECORD).is_file() or not (folder / WEIGHTS).is_file():
        raise RunError(f"{folder} holds no prepared encoder and item features ({RECORD}, {WEIGHTS}).")
    record = json.loads((folder / RECORD).read_text())
    tensors = load_file(folder / WEIGHTS)
    encoder = SASRec(EncoderShape(**record["encoder"]))
    encoder.load_state_dict(_under("encoder.", tensors))
    folds = [SASRec(encoder.shape) for _ in takewhile(lambda n: f"fold.{n}.start" in tensors, count())]
    for fold, other in enumerate(folds):
        other.load_state_dict(_under(f"fold.{fold}.", tensors))
    return Prepared(
        encoder=encoder.eval(),
        folds=tuple(other.eval() for other in folds),
        features=ItemFeatures(
            tensors["features.collaborative"],
            tensors["features.text"],
            tensors["features.known"],
            stored_scale(tensors.get("features.scale")),
        ),
        text_space=TextSpace(tensors["text.mean"], tensors["text.basis"]),
        title_prior=tensors["title_prior"],
        popularity=tensors["popularity"],
        encoder_epochs=record["encoder_epochs"],
        encoder_validation=record["encoder_validation"],
        encoder_seconds=record["encoder_seconds"],
    )


def stored_scale(tensor: Tensor | None) -> float | None:
    """`ItemFeatures.scale` as files hold it: absent where the catalogue never grew."""
    return None if tensor is None else float(tensor)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
