"""One shard of people through router, ranker and adapters: the same calls and the same lists as the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.ordering import Scores, best, log_softmax
from core.ranking_model import BASE
from core.recommendation import AdapterName
from core.recommender import RETRIEVED, Recommender
from core.routing import Indices

Pair = tuple[AdapterName, AdapterName]


@dataclass(frozen=True)
class Listed:
    """One adapter's list for one person: dense indices and their probabilities, best first."""

    items: tuple[int, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Scored:
    """What one person gets.

    Attributes:
        gate: K expert weights; empty where nothing is known of the person.
        lists: by adapter.
        overlaps: for two adapters, which part of the first k items they share; empty where every list is the
            most watched titles, whose agreement says nothing.
    """

    gate: tuple[float, ...]
    lists: Mapping[AdapterName, Listed]
    overlaps: Mapping[Pair, float]


def score_shard(
    recommender: Recommender,
    histories: Sequence[Sequence[int]],
    adapters: Sequence[AdapterName],
    k: int = 10,
) -> list[Scored]:
    """Lists for B people, what they have seen left out; each as `Recommender.recommend` gives it alone.

    Args:
        histories: B, oldest first, dense indices, none twice; may be empty.
        adapters: which lists to make. "base" ranks the 20 items that the router retrieves.
        k: length of a list.

    Returns:
        B results, in the order of the histories.

    Raises:
        DataError: an adapter that is not there, or k below 1.
    """
    somebody = [row for row, history in enumerate(histories) if len(history)]
    known = [list(histories[row]) for row in somebody]
    gates, lists = _gates_and_lists(recommender, known, adapters, k)
    done: list[Scored | None] = [None] * len(histories)
    for at, row in enumerate(somebody):
        own = {adapter: lists[adapter][at] for adapter in adapters}
        done[row] = Scored(gates[at], own, overlaps(own, k))
    popular = _popular(recommender, adapters, k) if len(somebody) < len(histories) else None
    return [popular if scored is None else scored for scored in done]  # type: ignore[misc]


def overlaps(lists: Mapping[AdapterName, Listed], k: int) -> dict[Pair, float]:
    """Overlap at k of every two lists: items that both have, divided by the length of the longer list."""
    return {
        (a, b): len(set(lists[a].items) & set(lists[b].items))
        / max(1, min(k, max(len(lists[a].items), len(lists[b].items))))
        for a, b in combinations(lists, 2)
    }


def _gates_and_lists(
    recommender: Recommender, histories: list[list[int]], adapters: Sequence[AdapterName], k: int
) -> tuple[list[tuple[float, ...]], dict[AdapterName, list[Listed]]]:
    if not histories:
        return [], {}
    routing = recommender.router.route(histories)
    lists: dict[AdapterName, list[Listed]] = {}
    for adapter in adapters:
        pools = (
            _retrieved(routing.scores, histories)
            if adapter == BASE
            else np.tile(np.arange(len(recommender.catalog)), (len(histories), 1))
        )
        scores = recommender.score_candidates(histories, pools, adapter)
        # To leave out what was seen shifts a row's log-probabilities by one number: the order stays, and the
        # softmax over the rest is what it would have been over the rest alone.
        lists[adapter] = [
            _list(row, pool, history, k) for row, pool, history in zip(scores, pools, histories, strict=True)
        ]
    return [tuple(map(float, gate)) for gate in routing.gate], lists


def _retrieved(scores: np.ndarray, histories: list[list[int]]) -> Indices:
    """The router's best unseen items of each person, ascending by index: [B, 20], fewer in small catalogues.

    A person who has seen nearly everything gets seen ones behind them; `_list` leaves them out again.
    """
    unseen = scores.astype(np.float64)
    for row, history in zip(unseen, histories, strict=True):
        row[history] = -np.inf
    return np.stack([np.sort(best(row, RETRIEVED)) for row in unseen]).astype(np.int64)


def _list(scores: Scores, pool: Indices, history: list[int], k: int) -> Listed:
    free = ~np.isin(pool, history)
    pool, scores = pool[free], scores[free]
    if not len(pool):
        return Listed((), ())
    order = best(scores, k)
    probabilities = np.exp(log_softmax(scores))[order]
    return Listed(tuple(pool[order].tolist()), tuple(probabilities.tolist()))


def _popular(recommender: Recommender, adapters: Sequence[AdapterName], k: int) -> Scored:
    """For whoever is unknown: the most watched titles, whatever the adapter."""
    items = recommender.recommend([], k=k, adapter=adapters[0]).items
    listed = Listed(tuple(item.index for item in items), tuple(item.probability for item in items))
    return Scored((), dict.fromkeys(adapters, listed), {})
