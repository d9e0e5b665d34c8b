"""From a person's history to a finished list: the one call behind the CLI, the page, HTTP and batch files.

It routes (which experts, which candidates), asks the language model once, and says in words what it did.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.catalog import Catalog
from core.errors import DataError
from core.ranker import Mode, Ranker
from core.ranking_model import BASE
from core.recommendation import AdapterName, RankedItem, Recommendation, Stage
from core.request import Entry, Gate, read_gate, read_history, read_pool
from core.routing import Indices, Router, Routing

RETRIEVED = 20
"""How many items a second stage reads, and the untrained model when nobody names candidates."""
MOST_CANDIDATES = 100
"""More candidates than this do not fit one pass of the modes that read titles."""

Scores = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class Choices:
    """What validation users decided for one adapter.

    Attributes:
        blend_weight: of the router's log-probabilities beside the language model's; 0 is the model alone.
        rerank: whether the second stage (branch mode) ranks the best 20 better than the first.
    """

    blend_weight: float = 0.0
    rerank: bool = False


@dataclass(frozen=True)
class Comparison:
    """The same history and candidates under several adapters.

    Attributes:
        candidates: dense indices that every list is an order of, ascending.
        lists: by adapter.
    """

    candidates: tuple[int, ...]
    lists: Mapping[AdapterName, Recommendation]


@dataclass(frozen=True)
class _Visit:
    """One person's request, read and routed."""

    history: tuple[int, ...]
    routing: Routing
    pool: Indices  # (P,) the items that may be ranked, ascending
    chosen: bool  # somebody named the candidates
    notes: tuple[str, ...]
    timings: Mapping[str, float]


class Recommender:
    """Recommends from one catalogue with one bundle's adapters. Safe to share between threads.

    Args:
        catalog: N items.
        router: over the same N items; ONNX Runtime in the product.
        ranker: language model, adapters and item spaces.
        popularity: [N] int64, how often each item was watched in training.
        choices: per trained adapter, what validation users decided.
    """

    def __init__(
        self,
        catalog: Catalog,
        router: Router,
        ranker: Ranker,
        popularity: Indices,
        choices: Mapping[AdapterName, Choices],
    ) -> None:
        self.catalog, self.router, self.ranker = catalog, router, ranker
        self.popularity, self.choices = popularity, choices
        self._asking = threading.Lock()  # switching adapters changes the one model that all threads share

    @property
    def adapters(self) -> tuple[AdapterName, ...]:
        """What `adapter=` may be, from the untrained language model to the most personal."""
        trained: tuple[AdapterName, ...] = ("lora", "ilora")
        return ("base", *(name for name in trained if name in self.choices))

    @property
    def num_experts(self) -> int:
        """K."""
        return self.router.num_experts

    @property
    def history_length(self) -> int:
        """How many of a person's last items the language model reads."""
        return self.ranker.history_length

    def has_experts(self, adapter: str) -> bool:
        """Whether an adapter mixes experts, so that a gate means something to it."""
        return adapter in self.ranker.model.gated

    def recommend(
        self,
        history: Sequence[Entry],
        k: int = 10,
        adapter: AdapterName = "ilora",
        gate: Sequence[float] | None = None,
        exclude_seen: bool = True,
        candidates: Sequence[Entry] | None = None,
        rerank: bool = False,
    ) -> Recommendation:
        """The k best items for a person.

        Args:
            history: oldest first: dense indices (int), item ids or titles (str). May be empty.
            k: length of the list.
            adapter: "ilora", "lora", or "base": the untrained model, which reads titles only.
            gate: K weights >= 0 in place of the router's mixture (what-if); they are scaled to sum to 1.
            exclude_seen: never recommend what is in the history.
            candidates: rank only these (at most 100 for "base"); None is the whole catalogue.
            rerank: let the second stage read the best 20, if validation users found that it helps.

        Probabilities are among the items that were ranked (`Recommendation.ranked` of them).

        Raises:
            UnknownItem: an id, title or index that the catalogue does not have.
            DataError: an argument that makes no sense, or nothing is left to rank.
        """
        began = time.perf_counter()
        self._check(k, adapter)
        mixture = self._mixture(gate, adapter)
        visit = self._visit(history, candidates, exclude_seen)
        done = self._rank(visit, k, adapter, mixture, rerank)
        return replace(done, timings_ms=done.timings_ms | {"total": _milliseconds_since(began)})

    def compare(
        self,
        history: Sequence[Entry],
        candidates: Sequence[Entry] | None = None,
        k: int = RETRIEVED,
        gate: Sequence[float] | None = None,
    ) -> Comparison:
        """Every adapter's order of the same candidates (the 20 best retrieved when none are named).

        Named candidates are all ranked, seen or not. `gate` replaces the mixture of adapters with experts.
        The routing of all lists is done once; its time stands in each. Raises as :meth:`recommend` does.
        """
        visit = self._visit(history, candidates, exclude_seen=candidates is None)
        if candidates is None:
            visit = replace(visit, pool=_retrieve(visit), chosen=True)
        lists: dict[AdapterName, Recommendation] = {}
        for adapter in self.adapters:
            self._check(k, adapter)
            mixture = self._mixture(gate, adapter) if self.has_experts(adapter) else None
            lists[adapter] = self._rank(visit, k, adapter, mixture, rerank=False)
        return Comparison(tuple(visit.pool.tolist()), lists)

    def _check(self, k: int, adapter: str) -> None:
        if k < 1:
            raise DataError(f"k is {k}; ask for at least 1 item.")
        if adapter not in self.adapters:
            raise DataError(f'There is no adapter "{adapter}" here; there is: {", ".join(self.adapters)}.')

    def _mixture(self, gate: Sequence[float] | None, adapter: str) -> Gate | None:
        if gate is None:
            return None
        if not self.has_experts(adapter):
            raise DataError(f'Adapter "{adapter}" has no experts to mix: leave the gate out, or use "ilora".')
        return read_gate(gate, self.num_experts)

    def _visit(
        self, history: Sequence[Entry], candidates: Sequence[Entry] | None, exclude_seen: bool
    ) -> _Visit:
        known, notes = read_history(self.catalog, history, self.history_length)
        routing, routing_ms = _timed(lambda: self.router.route([known]))
        (pool, more), pool_ms = _timed(lambda: read_pool(self.catalog, known, candidates, exclude_seen))
        timings = {"routing": routing_ms, "retrieval": pool_ms}
        return _Visit(known, routing, pool, candidates is not None, (*notes, *more), timings)

    def _rank(
        self, visit: _Visit, k: int, adapter: AdapterName, mixture: Gate | None, rerank: bool
    ) -> Recommendation:
        """Let one stage order the pool, then write the list."""
        (scores, pool, stage, notes), ranking_ms = _timed(
            lambda: self._order(visit, adapter, mixture, rerank)
        )
        order, order_ms = _timed(lambda: _best(scores, k))
        if len(order) < k:
            notes.append(f"The list is shorter than {k}: {len(order)} items were ranked.")
        timings = {**visit.timings, "ranking": ranking_ms}
        timings["retrieval"] += order_ms
        probabilities = np.exp(_log_softmax(scores))
        mixed = stage in ("catalogue", "branch") and self.has_experts(adapter)
        weights = visit.routing.gate[0] if mixture is None else mixture[0]
        return Recommendation(
            items=tuple(
                self._line(rank, int(pool[at]), float(scores[at]), float(probabilities[at]))
                for rank, at in enumerate(order, start=1)
            ),
            gate=tuple(weights.tolist()) if mixed else (),
            adapter=adapter,
            stage=stage,
            ranked=len(pool),
            timings_ms=timings | {"total": sum(timings.values())},
            notes=(*visit.notes, *notes),
        )

    def _line(self, rank: int, index: int, score: float, probability: float) -> RankedItem:
        item = self.catalog[index]
        return RankedItem(rank, index, item.item_id, item.title, score, probability)

    def _order(
        self, visit: _Visit, adapter: AdapterName, mixture: Gate | None, rerank: bool
    ) -> tuple[Scores, Indices, Stage, list[str]]:
        """Scores of the ranked items [P], those items [P], who ranked them, and notes."""
        pool = visit.pool
        if not visit.history:
            # Log-counts: the probabilities made of them are shares of what people watched.
            return np.log(self.popularity[pool] + 1.0), pool, "popular", []
        if adapter == BASE:
            pool = pool if visit.chosen else _retrieve(visit)
            notes = [
                f"The untrained language model ordered {len(pool)} titles by how likely each comes next."
            ]
            return self._ask(visit, pool, adapter, mixture, "title"), pool, "title", notes
        scores = self._ask(visit, pool, adapter, mixture, "catalogue")
        if not rerank:
            return scores, pool, "catalogue", []
        if not self.choices[adapter].rerank:
            kept = "Not re-ranked: on validation users the second stage brought no better order."
            return scores, pool, "catalogue", [kept]
        pool = np.sort(pool[_best(scores, RETRIEVED)])
        return self._ask(visit, pool, adapter, mixture, "branch"), pool, "branch", []

    def _ask(
        self, visit: _Visit, pool: Indices, adapter: AdapterName, mixture: Gate | None, mode: Mode
    ) -> Scores:
        """Log-probabilities of the pool [P]: the language model's, averaged with the router's if that helps.

        A mean, not a sum: two opinions that agree are not twice as sure.
        """
        if mode != "catalogue" and len(pool) > MOST_CANDIDATES:
            raise DataError(f"{len(pool)} candidates are too many to read: name at most {MOST_CANDIDATES}.")
        with self._asking:
            answer = self.ranker.score(
                visit.routing, [visit.history], pool[None], adapter=adapter, gate=mixture, mode=mode
            )
        scores = _log_softmax(answer[0].cpu().numpy().astype(np.float64))
        weight = 0.0 if adapter == BASE else self.choices[adapter].blend_weight
        if weight > 0:
            collaborative = _log_softmax(visit.routing.scores[0][pool].astype(np.float64))
            scores = (scores + weight * collaborative) / (1 + weight)
        return scores


def _retrieve(visit: _Visit) -> Indices:
    """The router's best 20 of the pool, ascending by index."""
    return np.sort(visit.pool[_best(visit.routing.scores[0][visit.pool], RETRIEVED)])


def _best(scores: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Positions of the k highest scores, best first; equal scores by position."""
    return np.argsort(-scores, kind="stable")[:k]


def _log_softmax(scores: Scores) -> Scores:
    shifted: Scores = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())


def _timed(step: Callable[[], T]) -> tuple[T, float]:
    """What a step returns, and its milliseconds."""
    began = time.perf_counter()
    return step(), _milliseconds_since(began)


def _milliseconds_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
