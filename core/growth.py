"""A catalogue that grew after training: what is foretold of items nobody had, and a router that knows them.

Shapes: B batch, L history length, N items at training, M new ones, D encoder width, P text components, C
retrieved.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from core.item_space import ItemFeatures, ItemSpace
from core.routing import Floats, History, Router, Routing

FIRST = 10
"""Places of a list that a new item should come into as often as any other."""
STRETCHES = tuple(1 + step / 8 for step in range(25))
"""1 to 4; beyond that a text says too little to be believed."""
MOST_PEOPLE, MOST_ITEMS = 500, 500
"""So many are asked about at most; more would change the second digit."""


def foretold(features: ItemFeatures, text: Tensor) -> Tensor:
    """Collaborative vectors of items by their text alone: ridge regression over the items that were had.

    The penalty is as large as the number of items it learns from: on MovieLens that foretold held-out vectors
    best, and it errs towards the mean item, so that a new one is not pushed to a person's first place.

    Args:
        features: of the N items at training.
        text: [M, P] float32, in the same text space.

    Returns:
        [M, D] float32.
    """
    x, y = features.text[features.known].double(), features.collaborative[features.known].double()
    if not len(x):
        return torch.zeros(len(text), features.collaborative.shape[1])
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    gram = centred.T @ centred + len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, centred.T @ (y - y_mean))  # (P, D)
    return ((text.double() - x_mean) @ weights + y_mean).float()


def grown_features(features: ItemFeatures, place: Tensor, text: Tensor) -> ItemFeatures:
    """The features of a grown catalogue; nothing collaborative is known of new items.

    Args:
        features: of the N items at training.
        place: [N'] int64, where each item stood at training; -1 is a new one.
        text: [M, P] of the new ones, in the order in which they stand.
    """
    new, old = place < 0, place.clamp_min(0)
    all_text = features.text[old]
    all_text[new] = text
    return ItemFeatures(
        collaborative=features.collaborative[old] * ~new.unsqueeze(1),
        text=all_text,
        known=features.known[old] & ~new,
        scale=features.scale_now,
    )


def grown_space(
    space: Mapping[str, Tensor], features: ItemFeatures, place: Tensor, kept: Tensor, vectors: Tensor
) -> dict[str, Tensor]:
    """The state of a trained `core.item_space.ItemSpace` for a grown catalogue: kept rows stay as they are.

    The bias of a new item is the mean of those that were had: it is neither popular nor known to be shunned.

    Args:
        features: of the N items at training.
        place: [N'] int64, as for `grown_features`.
        kept: [N'] bool, whose vectors stay.
        vectors: [N', D], where the others begin.
    """
    old, bias = place.clamp_min(0), space["bias"]
    usual = bias[features.known].mean() if bool(features.known.any()) else bias.new_zeros(())
    return {
        **space,
        "vectors": torch.where(kept.unsqueeze(1), space["vectors"][old], vectors.to(space["vectors"])),
        "bias": torch.where(place >= 0, bias[old], usual),
    }


def stretched(space: Mapping[str, Tensor], features: ItemFeatures, text: Tensor, stretch: float) -> Tensor:
    """What is added to the text part of new items' vectors, so that they differ as much as known ones: [M,
    D].

    A text foretells a part of what an item is like, so vectors by text alone lie closer together than known
    ones, and none of them would ever lead a list: the same text, further from the mean text, does.

    Args:
        features: of the items at training.
        text: [M, P] of the new ones.
        stretch: 1 adds nothing (`fair_stretch`).
    """
    by_text = space["vector_text.weight"]  # (D, P)
    mean = features.text[features.known].mean(0) if bool(features.known.any()) else torch.zeros_like(text[:1])
    return (stretch - 1) * ((text - mean) @ by_text.T.cpu())


def fair_stretch(scores: Tensor, space: ItemSpace, seen: Sequence[History], first: int = FIRST) -> float:
    """The stretch at which known items, were they new, would come into people's first ten as often as any
    item.

    Args:
        scores: [B, N] what an adapter gives B people for N items.
        space: the adapter's item space.
        seen: B histories, whose items no list holds.
        first: how many places count as the first ones.
    """
    people, n = scores[:MOST_PEOPLE].to(space.bias), scores.shape[1]
    known = torch.nonzero(space.known).flatten()
    asked = known[:: max(1, len(known) // MOST_ITEMS)]
    if n <= 2 * first or not len(asked):
        return 1.0
    with torch.no_grad():
        by_text = space.vector_text(space.text)
        vectors = space.vectors * space.known.unsqueeze(-1) + by_text
        # People's vectors, back from their scores: N equations for D numbers.
        users = torch.linalg.lstsq(vectors, (people - space.bias).T).solution.T  # (B, D)
        mean, bias = by_text[known].mean(0), space.bias[known].mean()
        unseen = people.clone()
        for row, history in zip(unseen, seen, strict=False):
            row[list(history)] = -torch.inf
        last = unseen.topk(first, dim=1).values[:, -1:]  # (B, 1), what leads into the first places
        at_mean, beyond = users @ mean + bias, users @ (by_text[asked] - mean).T
        for stretch in STRETCHES:
            if float((at_mean.unsqueeze(1) + stretch * beyond > last).float().mean()) >= first / n:
                return stretch
    return STRETCHES[-1]


def behind(before: int, now: int) -> Tensor:
    """The `place` of a catalogue that grew from `before` items to `now` at its end: [now] int64."""
    place = torch.arange(now)
    place[before:] = -1
    return place


class GrownRouter:
    """A router over N items that answers for M more.

    The encoder has no token for a new item: in a history it is passed over. As a candidate it is scored by
    the vector that its text foretells.

    Args:
        router: over N items.
        num_items: N.
        vectors: [M, D] float32 (`foretold`).
    """

    def __init__(self, router: Router, num_items: int, vectors: Floats) -> None:
        self.router, self.num_items, self.vectors = router, num_items, vectors

    @property
    def num_experts(self) -> int:
        return self.router.num_experts

    def route(self, histories: Sequence[History]) -> Routing:
        """As the router's, with scores [B, N + M] and the best C of all."""
        known = [tuple(item for item in history if item < self.num_items) for history in histories]
        done = self.router.route(known)
        scores = np.concatenate([done.scores, done.sequence @ self.vectors.T], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : done.retrieved.shape[1]]
        return Routing(done.sequence, done.gate, scores, best.astype(np.int64))
