"""Training on from a finished run, over the same data set or over one that has grown since.

Items are told apart by their ids. What stays: the encoder with its rows of known items, the text space, and
how tokens are scaled. What is new: a row for every new item, its collaborative vectors foretold from its
text. What trains on: adapter, gate, projections, item vectors and biases.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from core.assembly import bare_model
from core.catalog import Catalog
from core.data.dataset import Dataset
from core.data.registry import load_dataset
from core.encoder import SASRec
from core.errors import RunError
from core.growth import foretold, grown_features, grown_space
from core.item_text import read_items, title_priors
from core.prompt import Wording
from core.ranking_model import RankingModel
from core.training.finished import FinishedRun, load_weights, read_finished, space_and_branch
from core.training.prepare import Prepared
from core.training.recipe import Recipe
from quant.backbone import Backbone


@dataclass(frozen=True)
class Start:
    """Where a run starts from.

    Attributes:
        run: the finished run.
        place: [N] int64, where each item of the data set stood in the run's; -1 is a new one. None: the data
            set is the run's own.
    """

    run: FinishedRun
    place: Tensor | None

    @property
    def new_items(self) -> int:
        """How many items the run did not know."""
        return 0 if self.place is None else int((self.place < 0).sum())


def open_start(folder: Path, dataset: Dataset, recipe: Recipe) -> Start:
    """The run that a recipe starts from.

    Raises:
        RunError: it is not finished; it was trained on another split; it learned beside an encoder and this
            one cannot; its data set is not what it was; or people would be asked about what it was taught.
        DataError: its data set is not here any more.
    """
    run = read_finished(folder)
    _same_split(run, recipe)
    if run.recipe.model.residual and recipe.mode != "catalogue":
        raise RunError(
            f"{folder} learned beside an encoder (model.residual), which is added in catalogue mode only: "
            f"start a run of {recipe.mode} mode from one with model.residual=0."
        )
    if run.recipe.dataset == recipe.dataset:
        _same_as_then(run, dataset)
        return Start(run, None)
    before = load_dataset(run.recipe.dataset)
    _same_as_then(run, before)
    _nothing_was_taught(run, before, dataset, recipe)
    return Start(run, place_of(before.catalog, dataset.catalog))


def place_of(before: Catalog, now: Catalog) -> Tensor:
    """Where each item stood before, by its id: [N] int64, -1 for a new one."""
    index = {item.item_id: item.index for item in before.items}
    return torch.tensor([index.get(item.item_id, -1) for item in now.items])


def grown(start: Start, dataset: Dataset, recipe: Recipe, backbone: Backbone, wording: Wording) -> Prepared:
    """Encoder and item features of the run, for a data set that has grown."""
    assert start.place is not None
    then, place = start.run.prepared, start.place
    new = torch.nonzero(place < 0).flatten().tolist()
    text = then.text_space.place(
        read_items(backbone, [dataset.catalog[index] for index in new], domain=dataset.domain)
    )
    popularity = torch.zeros(dataset.num_items)
    for sequence in dataset.split(recipe.split).train:
        popularity.index_add_(0, torch.tensor(sequence), torch.ones(len(sequence)))
    features = grown_features(then.features, place, text)
    first_had = (popularity > 0) & ~features.known
    guess = foretold(then.features, features.text)
    features = replace(
        features,
        collaborative=torch.where(first_had.unsqueeze(1), guess, features.collaborative),
        known=features.known | first_had,
    )
    prior = then.title_prior[place.clamp_min(0)]
    prior[new] = title_priors(bare_model(backbone), wording, items=new)
    return replace(
        then,
        encoder=_grown_encoder(then.encoder, place, (place >= 0) & ~first_had, guess),
        features=features,
        title_prior=prior,
        popularity=popularity,
    )


def _grown_encoder(encoder: SASRec, place: Tensor, kept: Tensor, guess: Tensor) -> SASRec:
    """The encoder with a row per item: its own for those that it keeps [N], the foretold one for the rest."""
    larger = SASRec(replace(encoder.shape, num_items=len(place)))
    state = encoder.state_dict()
    rows = torch.where(kept.unsqueeze(1), state["items.weight"][place.clamp_min(0)], guess)
    state["items.weight"] = torch.cat([rows, state["items.weight"][-1:]])
    larger.load_state_dict(state)
    return larger.eval()


def lay_in(start: Start, model: RankingModel, prepared: Prepared, method: str) -> None:
    """The run's weights into a model over `prepared`.

    Raises:
        RunError: the run's adapter is of another kind than the model's.
    """
    space = None
    if start.place is not None:
        trained, _ = space_and_branch(start.run.folder)
        then, place = start.run.prepared.features, start.place
        kept = (place >= 0) & (then.known[place.clamp_min(0)] | ~prepared.features.known)
        space = grown_space(trained, then, place, kept, prepared.features.collaborative)
    load_weights(model, start.run.folder, method, space)


def _same_split(run: FinishedRun, recipe: Recipe) -> None:
    # No check by person decides it: published users may be windows, and one person stands under two names.
    if run.recipe.split != recipe.split:
        raise RunError(
            f"{run.folder} was trained on the split {run.recipe.split}, which trains on answers that "
            f"{recipe.split} asks for: go on with split={run.recipe.split}, or train anew."
        )


def _same_as_then(run: FinishedRun, dataset: Dataset) -> None:
    kept = run.summary.get("dataset_sha256")  # runs of before this was kept have none
    if (kept is not None and kept != dataset.sha256) or len(run.prepared.features.known) != dataset.num_items:
        raise RunError(
            f"{run.folder} was trained on another {run.recipe.dataset} than is here now: bring back the one "
            "it was trained on, and import what has grown under a name of its own."
        )


def _nothing_was_taught(run: FinishedRun, before: Dataset, now: Dataset, recipe: Recipe) -> None:
    """Refuse a data set whose held-out items the run has seen of the same people."""
    split = before.split(run.recipe.split)
    taught = {
        before.users[user]: {before.catalog[item].item_id for item in sequence}
        for user, sequence in zip(split.train_users, split.train, strict=True)
    }
    asked = now.split(recipe.split)
    leaks = sum(
        now.catalog[case.target].item_id in taught.get(now.users[case.user], ())
        and case.target not in case.history  # whoever had it twice may be asked for it again
        for case in (*asked.validation, *asked.test)
    )
    if leaks:
        raise RunError(
            f"{leaks:,} of the people of {now.name} would be asked about what {run.folder} was trained on: "
            "their histories are in another order than before. Import with the same rules and times, or "
            "train anew."
        )
