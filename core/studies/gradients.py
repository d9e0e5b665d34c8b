"""Do groups of people pull an adapter in different directions? (iLoRA, arXiv 2408.10159, sec. 1: negative
transfer, shown there as cosines between the gradients of 8 clusters of users.)

Each cluster's gradient is measured on two halves of its users, as two clusters share no user either. The
cosine of the two halves of one cluster says how much of a gradient is the cluster's and not its people's
luck; only below that are clusters at odds.

Shapes: C clusters, P adapter parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.dataset import Dataset
from core.encoder import TorchRouter
from core.errors import RunError
from core.evaluation.buckets import CLUSTERS, UserClusters
from core.evaluation.evaluating import Step
from core.gate_reading import gate_reading
from core.ilora import adapter_parameters
from core.studies.finding import Finding
from core.training.finished import FinishedRun, open_ranker
from core.training.objective import Objective
from core.training.rows import IGNORED, CatalogueRows, Collator, Row
from core.training.run import open_backbone

NAME = "gradients"
QUESTION = (
    "Do groups of people pull the adapter in different directions, and less so where experts are mixed?"
)
ROWS = 48
"""Rows per half of a cluster."""
PASS = 16
LOOKED_THROUGH = 200
"""Rows drawn per row wanted, at most, before a cluster counts as too small."""


@dataclass(frozen=True)
class Alignment:
    """Of one adapter.

    Attributes:
        cosines: [C, C] float64; [i, j] is the mean of the two cosines between a half of i and the other
            half of j.
        within: mean of the diagonal: two halves of one cluster.
        between: mean of the rest.
        opposed: how many of the C (C - 1) / 2 pairs have a cosine below zero.
    """

    cosines: NDArray[np.float64]
    within: float
    between: float
    opposed: int

    @classmethod
    def of(cls, halves: NDArray[np.float64]) -> "Alignment":
        """Gradients [2, C, P] of both halves."""
        units = halves / np.maximum(np.linalg.norm(halves, axis=2, keepdims=True), 1e-30)
        crossed = units[0] @ units[1].T
        cosines = (crossed + crossed.T) / 2
        apart = ~np.eye(len(cosines), dtype=bool)
        return cls(
            cosines=cosines,
            within=float(np.diag(cosines).mean()),
            between=float(cosines[apart].mean()),
            opposed=int((cosines[np.triu_indices(len(cosines), 1)] < 0).sum()),
        )


def halves_of_clusters(labels: Mapping[int, int], clusters: int) -> dict[int, int]:
    """Every user's group: his cluster c in one half, C + c in the other. A cluster's users take turns.

    Args:
        labels: cluster of every user, by his index.
    """
    users: list[list[int]] = [[] for _ in range(clusters)]
    for user in sorted(labels):
        users[labels[user]].append(user)
    return {
        user: turn % 2 * clusters + cluster
        for cluster, own in enumerate(users)
        for turn, user in enumerate(own)
    }


def rows_by_group(rows: CatalogueRows, groups: Mapping[int, int], count: int, wanted: int) -> list[list[Row]]:
    """The first `wanted` rows of each group's users, behind those that were trained on.

    Args:
        groups: of every training user, by his index: one of `count`.

    Raises:
        RunError: a group's users are drawn too rarely, or it has none.
    """
    found: list[list[Row]] = [[] for _ in range(count)]
    for index in range(len(rows), len(rows) + LOOKED_THROUGH * wanted * count):
        row = rows[index]
        own = found[groups[row.user]]
        if len(own) < wanted:
            own.append(row)
        if all(len(have) == wanted for have in found):
            return found
    raise RunError("A cluster of users is too small for its gradient: take fewer rows per cluster.")


def gradient(objective: Objective, collate: Collator, rows: Sequence[Row]) -> Tensor:
    """Of the mean loss over the rows' targets, without dropout, in the adapter's A and B: [P] float32
    on the CPU."""
    parameters = adapter_parameters(objective.model.decoder, objective.adapter)
    objective.zero_grad(set_to_none=True)
    device = objective.model.device
    batches = [
        {name: tensor.to(device) for name, tensor in collate(rows[start : start + PASS]).items()}
        for start in range(0, len(rows), PASS)
    ]
    total = sum(int((batch["targets"] != IGNORED).sum()) for batch in batches)
    for batch in batches:
        out = objective(**batch)
        (out["loss"] * out["targets"] / total).backward()
    flat = torch.cat([p.grad.float().flatten() for p in parameters if p.grad is not None]).cpu()
    objective.zero_grad(set_to_none=True)
    return flat


def measure(
    run: FinishedRun, dataset: Dataset, rows: int = ROWS, step: Step = lambda what, done, total: None
) -> Alignment:
    """The alignment of one finished run's adapter, at its trained weights.

    Raises:
        RunError: the run is not in catalogue mode, or a cluster is too small.
    """
    recipe, split = run.recipe, dataset.split(run.recipe.split)
    if recipe.mode != "catalogue":
        raise RunError(
            f"{run.folder} was trained in {recipe.mode} mode: gradients are compared in catalogue mode."
        )
    ranker, _ = open_ranker(run, open_backbone(recipe, step=step), dataset)
    encoder = run.prepared.encoder
    states = TorchRouter(encoder, None).route(split.train).sequence
    fitted = UserClusters.fit(states, recipe.run.seed).labels(states)
    labels = {user: int(label.split()[1]) - 1 for user, label in zip(split.train_users, fitted, strict=True)}
    count = recipe.run.max_steps * recipe.optimizer.batch_size
    drawn = CatalogueRows(split, recipe.rows, count, recipe.run.seed, recipe.encoder.max_length)
    groups = rows_by_group(drawn, halves_of_clusters(labels, CLUSTERS), 2 * CLUSTERS, rows)
    reading = gate_reading(recipe, encoder, split, run.prepared.features.text)
    objective = Objective(ranker.model, encoder, recipe.method, reading).to(ranker.model.device).eval()
    objective.requires_grad_(False)
    for parameter in adapter_parameters(ranker.model.decoder, recipe.method):
        parameter.requires_grad_(True)
    collate = Collator(ranker.wording, len(dataset.catalog))
    halves = []
    for place, group in enumerate(groups):
        step(f"Gradients of {recipe.label}", place, len(groups))
        halves.append(gradient(objective, collate, group).double().numpy())
    return Alignment.of(np.stack(halves).reshape(2, CLUSTERS, -1))


def gradients(
    runs: Sequence[FinishedRun],
    dataset: Dataset,
    rows: int = ROWS,
    step: Step = lambda what, done, total: None,
) -> Finding:
    """Finished runs of one data set, LoRA and iLoRA, side by side."""
    told = {run.recipe.label: measure(run, dataset, rows, step) for run in runs}
    numbers = {
        "dataset": dataset.name,
        "rows_per_half": rows,
        "adapters": {
            name: {
                "cosines": one.cosines.round(4).tolist(),
                "within": one.within,
                "between": one.between,
                "opposed": one.opposed,
            }
            for name, one in told.items()
        },
    }
    return Finding(NAME, QUESTION, sentence(told, dataset.name, rows), numbers)


def sentence(told: Mapping[str, Alignment], dataset: str, rows: int) -> str:
    """What was found, with n."""
    names = {"lora": "LoRA", "ilora": "iLoRA"}
    pairs = CLUSTERS * (CLUSTERS - 1) // 2
    each = "; ".join(
        f"{names.get(name, name)}: {one.between:.2f} between clusters where two halves of one have "
        f"{one.within:.2f}, {one.opposed} of {pairs} pairs below zero"
        for name, one in told.items()
    )
    return (
        f"Cosines of the adapter's gradients over {CLUSTERS} clusters of {dataset} users, {rows} rows per "
        f"half of a cluster. {each}."
    )
