"""Fit the stack: neighbours on training sequences, weights on validation users.

Weights are those of a conditional logit over the whole catalogue: the sum of the parts is to give each
validation target the highest likelihood among all items its user had not had. Four numbers from a thousand
people: nothing to overfit, and no grid.

Shapes: n validation cases, N items, F parts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from core.collaborative import Nearest, Neighbours, Stack
from core.data.candidates import training_counts
from core.data.dataset import Case, Dataset, Split
from core.encoder import SASRec
from core.evaluation.asking import targets_of
from core.evaluation.ease import MOST_ITEMS
from core.evaluation.encoder_baseline import SASRecBaseline
from core.evaluation.tuning import tune_ease, tune_item_knn
from core.routing import HISTORY_AT_TEST, Floats

ENCODER, POPULARITY = "SASRec", "popularity"
MOST_CASES = 2000
"""So many validation users fit the weights, at most."""
RIDGE = 1e-4
"""On weights of standardised parts: decides only between parts that say the same."""


_fitted: dict[tuple[str, str], dict[str, Neighbours]] = {}
"""Neighbours of the data set and split that was asked about last: runs of one comparison share them."""


def stack_of(dataset: Dataset, split: Split, encoder: SASRec, nearest: int | None = None) -> Stack | None:
    """The stack over an encoder that was trained on this split; None where there is none to be had.

    Args:
        nearest: so many neighbours does each item keep, and the weights are fitted with those; None: all.
    """
    if not split.validation:
        return None
    key = dataset.sha256, split.name
    if key not in _fitted:
        _fitted.clear()
        _fitted[key] = fit_neighbours(split, dataset.num_items)
    told = SASRecBaseline.of(encoder).score([case.history for case in split.validation[:MOST_CASES]])
    neighbours: Mapping[str, Neighbours | Nearest] = _fitted[key]
    if nearest is not None:
        neighbours = {name: own.nearest(nearest) for name, own in _fitted[key].items()}
    return fit_stack(split, told, neighbours)


def fit_neighbours(split: Split, num_items: int) -> dict[str, Neighbours]:
    """Item-kNN and EASE at their best on validation users; none where a table would be too large."""
    if num_items > MOST_ITEMS:
        return {}
    knn = tune_item_knn(split, num_items).baseline
    ease = tune_ease(split, num_items).baseline
    linear = np.zeros((num_items, num_items), dtype=np.float32)
    linear[np.ix_(ease.known, ease.known)] = ease.weights
    return {"ItemKNN": Neighbours(knn.similarity, knn.decay), "EASE": Neighbours(linear, ease.decay)}


def fit_stack(split: Split, encoder: Floats, neighbours: Mapping[str, Neighbours | Nearest]) -> Stack | None:
    """The stack over an encoder; None where there are no neighbours or nobody to fit on.

    Args:
        encoder: [n, N] the encoder's scores after each validation case's last 10 items.
    """
    cases, num_items = split.validation[:MOST_CASES], encoder.shape[1]
    if not neighbours or not cases:
        return None
    histories = [case.history[-HISTORY_AT_TEST:] for case in cases]
    popularity = np.log1p(training_counts(split, num_items).astype(np.float32))
    parts = {ENCODER: encoder[: len(cases)], POPULARITY: np.broadcast_to(popularity, (len(cases), num_items))}
    parts |= {name: own.scores(histories) for name, own in neighbours.items()}
    fitted = _fitted_by_name(parts, cases)
    if fitted[ENCODER] < 0:  # it would be believed the wrong way round
        del parts[ENCODER]
        fitted = {ENCODER: 0.0, **_fitted_by_name(parts, cases)}
    return Stack(
        neighbours,
        {name: fitted[name] for name in neighbours},
        np.float32(fitted[POPULARITY]) * popularity,
        fitted[ENCODER],
    )


def _fitted_by_name(parts: Mapping[str, Floats], cases: Sequence[Case]) -> dict[str, float]:
    return dict(zip(parts, fit_weights(list(parts.values()), cases).tolist(), strict=True))


def fit_weights(parts: Sequence[Floats], cases: Sequence[Case]) -> Tensor:
    """[F] weights of parts [n, N] each, of greatest likelihood; the same parts give the same weights."""
    scales = [max(float(part.std()), 1e-6) for part in parts]
    features = torch.stack(
        [torch.from_numpy(np.ascontiguousarray(part)) / s for part, s in zip(parts, scales, strict=True)], -1
    )  # (n, N, F)
    seen = torch.zeros(features.shape[:2])
    for row, case in enumerate(cases):
        seen[row, [item for item in case.history if item != case.target]] = -torch.inf
    targets = torch.from_numpy(targets_of(cases))
    weights = torch.ones(len(parts), requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        told = torch.nn.functional.cross_entropy(features @ weights + seen, targets)
        told = told + RIDGE * weights.square().sum()
        told.backward()  # type: ignore[no-untyped-call]
        return told

    search.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach() / torch.tensor(scales)
