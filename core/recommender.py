"""From a person's history to a finished list: the one call behind the CLI, the page, HTTP and batch files.

It routes (which experts, which candidates), asks the language model once, and says in words what it did.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from torch import Tensor

from core.catalog import Catalog
from core.domain import MOVIES, Domain
from core.errors import DataError
from core.explanation import Explanation, omissions
from core.new_item_notes import new_in_history, places_of_new
from core.ordering import Order, Scores, best, blended, log_softmax, ranked_items, title_order
from core.ranker import Ask, Mode, Ranker
from core.ranking_model import BASE
from core.recommendation import AdapterName, Comparison, Recommendation
from core.request import Entry, Gate, read_gate, read_history, read_pool
from core.routing import Indices, Router, Routing

RETRIEVED = 20
"""How many items a second stage reads, and the untrained model when nobody names candidates."""
MOST_CANDIDATES = 100
"""More candidates than this do not fit one pass of the modes that read titles."""

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
        trained_items: how many of the catalogue's items there were at training; those behind are new, and
            known by their words alone. None: all.
        domain: how the items are spoken of in notes.
    """

    def __init__(
        self,
        catalog: Catalog,
        router: Router,
        ranker: Ranker,
        popularity: Indices,
        choices: Mapping[AdapterName, Choices],
        trained_items: int | None = None,
        domain: Domain = MOVIES,
    ) -> None:
        self.catalog, self.router, self.ranker = catalog, router, ranker
        self.popularity, self.choices, self.domain = popularity, choices, domain
        self.trained_items = len(catalog) if trained_items is None else trained_items
        self._asking = threading.Lock()  # switching adapters changes the one model that all threads share

    @property
    def adapters(self) -> tuple[AdapterName, ...]:
        """What `adapter=` may be, from the untrained language model to the most personal."""
        trained: tuple[AdapterName, ...] = ("lora", "ilora")
        return ("base", *(name for name in trained if name in self.choices))

    @property
    def best_adapter(self) -> AdapterName:
        """The most personal one there is: who names none is answered by it."""
        return self.adapters[-1]

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
        adapters: Sequence[AdapterName] | None = None,
    ) -> Comparison:
        """Every adapter's order of the same candidates (the 20 best retrieved when none are named).

        Named candidates are all ranked, seen or not. `gate` replaces the mixture of adapters with experts.
        `adapters` asks only some of them: "base" reads every candidate's words and takes most of the time.
        All lists come from one routing and one pass of the language model; their time stands in each list.
        Raises as :meth:`recommend` does.
        """
        visit = self._visit(history, candidates, exclude_seen=candidates is None)
        if candidates is None:
            visit = replace(visit, pool=_retrieve(visit), chosen=True)
        mixtures: dict[AdapterName, Gate | None] = {}
        for adapter in self.adapters if adapters is None else adapters:
            self._check(k, adapter)
            mixtures[adapter] = self._mixture(gate, adapter) if self.has_experts(adapter) else None
        orders, ranking_ms = _timed(lambda: self._orders(visit, mixtures))
        lists = {
            adapter: self._list(visit, order, k, adapter, mixtures[adapter], ranking_ms)
            for adapter, order in orders.items()
        }
        return Comparison(tuple(visit.pool.tolist()), lists)

    def without_each(
        self,
        history: Sequence[Entry],
        k: int = 10,
        adapter: AdapterName = "ilora",
        exclude_seen: bool = True,
    ) -> Explanation:
        """What each item of the history does to the list and to the experts, in one batch.

        Every item that the language model reads (the last `history_length`) is left out once. The items that
        may be ranked stay those of the whole history. It explains the first stage's order.

        Args:
            k: how many of the first items are watched for moves.
            adapter: "ilora" or "lora".

        Raises:
            UnknownItem: an id, title or index that the catalogue does not have.
            DataError: nothing to leave out, an argument that makes no sense, or nothing is left to rank.
        """
        began = time.perf_counter()
        self._check(k, adapter)
        if adapter == BASE:
            raise DataError('The untrained model reads every title anew: explain "lora" or "ilora".')
        visit = self._visit(history, None, exclude_seen)
        if not visit.history:
            raise DataError("The history is empty: there is nothing to leave out.")
        left_out = visit.history[-self.history_length :]
        rows = [visit.history, *(tuple(i for i in visit.history if i != item) for item in left_out)]
        routing = self.router.route(rows)
        scores = self._ask_all(routing, rows, np.tile(visit.pool, (len(rows), 1)), adapter, None, "catalogue")
        gates = [tuple(map(float, gate)) if self.has_experts(adapter) else () for gate in routing.gate]
        if len(visit.history) == 1:  # without its only item it is empty, and those get the most watched
            scores[1], gates[1] = log_softmax(self._popular(visit.pool)), ()
        read = f"Of these {len(visit.history)} items the last {len(left_out)} were left out one at a time."
        return Explanation(
            items=ranked_items(self.catalog, scores[0], visit.pool, best(scores[0], k)),
            gate=gates[0],
            adapter=adapter,
            omissions=omissions(left_out, visit.pool, scores, gates[1:], k),
            ranked=len(visit.pool),
            milliseconds=_milliseconds_since(began),
            notes=visit.notes if len(left_out) == len(visit.history) else (*visit.notes, read),
        )

    def score_candidates(
        self, histories: Sequence[Sequence[int]], candidates: Indices, adapter: AdapterName
    ) -> Scores:
        """Scores of several people's candidates, as one adapter's lists have them.

        Args:
            histories: B, none of them empty; dense indices, oldest first.
            candidates: [B, C] dense indices, at most 100 for "base".

        Returns:
            [B, C] float64.
        """
        self._check(1, adapter)
        mode: Mode = "title" if adapter == BASE else "catalogue"
        return self._ask_all(self.router.route(histories), histories, candidates, adapter, None, mode)

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
        known, notes = read_history(self.catalog, history, self.history_length, self.domain)
        routing, routing_ms = _timed(lambda: self.router.route([known]))
        (pool, more), pool_ms = _timed(lambda: read_pool(self.catalog, known, candidates, exclude_seen))
        timings = {"routing": routing_ms, "retrieval": pool_ms}
        new = new_in_history(self.catalog, self.trained_items, known)
        return _Visit(known, routing, pool, candidates is not None, (*notes, *new, *more), timings)

    def _rank(
        self, visit: _Visit, k: int, adapter: AdapterName, mixture: Gate | None, rerank: bool
    ) -> Recommendation:
        """Let one stage order the pool, then write the list."""
        order, ranking_ms = _timed(lambda: self._order(visit, adapter, mixture, rerank))
        return self._list(visit, order, k, adapter, mixture, ranking_ms)

    def _list(
        self,
        visit: _Visit,
        ordered: Order,
        k: int,
        adapter: AdapterName,
        mixture: Gate | None,
        ranking_ms: float,
    ) -> Recommendation:
        """Write down the k best of what a stage ordered."""
        scores, pool, stage = ordered.scores, ordered.pool, ordered.stage
        notes = list(ordered.notes)
        order, order_ms = _timed(lambda: best(scores, k))
        if len(order) < k:
            notes.append(f"The list is shorter than {k}: {len(order)} items were ranked.")
        notes += places_of_new(self.catalog, self.trained_items, scores, pool)
        timings = {**visit.timings, "ranking": ranking_ms}
        timings["retrieval"] += order_ms
        mixed = stage in ("catalogue", "branch") and self.has_experts(adapter)
        weights = visit.routing.gate[0] if mixture is None else mixture[0]
        return Recommendation(
            items=ranked_items(self.catalog, scores, pool, order),
            gate=tuple(weights.tolist()) if mixed else (),
            adapter=adapter,
            stage=stage,
            ranked=len(pool),
            timings_ms=timings | {"total": sum(timings.values())},
            notes=(*visit.notes, *notes),
        )

    def _popular(self, pool: Indices) -> Scores:
        """Log-counts [P]: the probabilities made of them are shares of what people watched."""
        return np.log(self.popularity[pool] + 1.0)

    def _order(self, visit: _Visit, adapter: AdapterName, mixture: Gate | None, rerank: bool) -> Order:
        """Let one adapter order the pool."""
        pool = visit.pool
        if not visit.history:
            return Order(self._popular(pool), pool, "popular")
        if adapter == BASE:
            pool = pool if visit.chosen else _retrieve(visit)
            return title_order(self._ask(visit, pool, adapter, mixture, "title"), pool)
        scores = self._ask(visit, pool, adapter, mixture, "catalogue")
        if not rerank:
            return Order(scores, pool, "catalogue")
        if not self.choices[adapter].rerank:
            kept = "Not re-ranked: on validation users the second stage brought no better order."
            return Order(scores, pool, "catalogue", (kept,))
        pool = np.sort(pool[best(scores, RETRIEVED)])
        return Order(self._ask(visit, pool, adapter, mixture, "branch"), pool, "branch")

    def _orders(self, visit: _Visit, mixtures: Mapping[AdapterName, Gate | None]) -> dict[AdapterName, Order]:
        """Let several adapters order the same named candidates, in one pass of the language model."""
        pool = visit.pool
        if not visit.history:
            return dict.fromkeys(mixtures, Order(self._popular(pool), pool, "popular"))
        _check_readable(len(pool))
        asks = [
            Ask(adapter, "title" if adapter == BASE else "catalogue", pool[None], gate)
            for adapter, gate in mixtures.items()
        ]
        with self._asking:
            answers = self.ranker.score_together(visit.routing, visit.history, asks)
        orders: dict[AdapterName, Order] = {}
        for adapter, answer in zip(mixtures, answers, strict=True):
            scores = self._blended(answer, visit.routing, [visit.history], pool[None], adapter)[0]
            orders[adapter] = (
                title_order(scores, pool) if adapter == BASE else Order(scores, pool, "catalogue")
            )
        return orders

    def _ask(
        self, visit: _Visit, pool: Indices, adapter: AdapterName, mixture: Gate | None, mode: Mode
    ) -> Scores:
        """Scores of the pool [P] for one person."""
        return self._ask_all(visit.routing, [visit.history], pool[None], adapter, mixture, mode)[0]

    def _ask_all(
        self,
        routing: Routing,
        histories: Sequence[Sequence[int]],
        pools: Indices,
        adapter: AdapterName,
        mixture: Gate | None,
        mode: Mode,
    ) -> Scores:
        """Scores [B, P] of B people's pools [B, P] in one go."""
        if mode != "catalogue":
            _check_readable(pools.shape[1])
        with self._asking:
            answer = self.ranker.score(routing, histories, pools, adapter=adapter, gate=mixture, mode=mode)
        return self._blended(answer, routing, histories, pools, adapter)

    def _blended(
        self,
        answer: Tensor,
        routing: Routing,
        histories: Sequence[Sequence[int]],
        pools: Indices,
        adapter: AdapterName,
    ) -> Scores:
        """The model's answers [B, P] as log-probabilities [B, P], the router's blended in if that helps."""
        scores = log_softmax(answer.cpu().numpy().astype(np.float64))
        weight = 0.0 if adapter == BASE else self.choices[adapter].blend_weight
        if weight == 0:
            return scores
        collaborative = np.take_along_axis(routing.scores, pools, axis=1).astype(np.float64)
        known = np.array([any(item < self.trained_items for item in history) for history in histories])
        return blended(scores, collaborative, weight, pools >= self.trained_items, known)


def _check_readable(candidates: int) -> None:
    if candidates > MOST_CANDIDATES:
        raise DataError(f"{candidates} candidates are too many to read: name at most {MOST_CANDIDATES}.")


def _retrieve(visit: _Visit) -> Indices:
    """The router's best 20 of the pool, ascending by index."""
    return np.sort(visit.pool[best(visit.routing.scores[0][visit.pool], RETRIEVED)])


def _timed(step: Callable[[], T]) -> tuple[T, float]:
    """What a step returns, and its milliseconds."""
    began = time.perf_counter()
    return step(), _milliseconds_since(began)


def _milliseconds_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
