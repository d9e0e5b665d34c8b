"""Measure a bundle as it will be served; validation users choose, test users report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from core.collaborative import StackedRouter
from core.data.candidates import draw_candidates
from core.data.dataset import Case, Dataset
from core.evaluation.asking import ask, full_ranks, route_cases, sampled_ranks
from core.evaluation.blending import blend, choose_heard_weight
from core.evaluation.comparison import compare_paired
from core.evaluation.intervals import rate
from core.evaluation.metrics import Ranks, best_lists, ndcg_at
from core.evaluation.run_identity import SASREC, STACK
from core.growth import fair_stretch
from core.recommender import RETRIEVED, Recommender
from core.routing import Floats, Indices, Routing
from exports.bundle_info import Adapter, MetricRow, PairedRow

SEED = 0
"""Of the bootstrap over people."""
LABELS: dict[Adapter, str] = {"lora": "LoRA", "ilora": "iLoRA"}
Hits = NDArray[np.bool_]
Step = Callable[[str, int, int], None]
"""Told (what is being measured, cases done, cases in all)."""


@dataclass(frozen=True)
class Chosen:
    """What validation users decided for one adapter, with the numbers that decided."""

    blend_weight: float
    second_stage_helps: bool
    first_ndcg: float  # NDCG@10, full catalogue, validation users, first stage with the blend
    second_ndcg: (
        float | None
    )  # the same after the second stage re-ranked the best 20; None = its head is untrained
    new_item_stretch: float


@dataclass(frozen=True)
class Measured:
    """Rows for the model card, and the choices behind them."""

    rows: tuple[MetricRow, ...]
    pairs: tuple[PairedRow, ...]
    chosen: dict[Adapter, Chosen]


@dataclass(frozen=True)
class _Part:
    """Cases of one part of a split with what every method is asked on."""

    name: str
    cases: tuple[Case, ...]
    candidates: tuple[Indices, ...]  # one table per draw
    routing: Routing


def measure(
    recommender: Recommender,
    dataset: Dataset,
    split_name: str,
    adapters: Sequence[Adapter] = ("lora", "ilora"),
    draws: int = 1,
    step: Step = lambda what, done, total: None,
) -> Measured:
    """HR@1 among 20 and NDCG@10 on the full catalogue, for popularity, SASRec, each adapter, and the blends.

    Args:
        draws: candidate draws per user (PROTOCOL: 5 on `paper`, 1 on `loo`); a user's hits are averaged over
            them.
    """
    split = dataset.split(split_name)
    parts = {
        name: _Part(
            name,
            cases,
            tuple(draw_candidates(dataset, cases, draw=draw) for draw in range(draws)),
            route_cases(recommender.router, cases),
        )
        for name, cases in (("validation", split.validation), ("test", split.test))
    }
    test = parts["test"]
    beside = STACK if isinstance(recommender.router, StackedRouter) else SASREC
    encoder = test.routing.scores
    if isinstance(recommender.router, StackedRouter):
        encoder = route_cases(recommender.router.router, test.cases).scores
    popularity = np.broadcast_to(recommender.popularity.astype(np.float32), test.routing.scores.shape)
    rows = [
        _row("Popularity", split_name, popularity, test),
        _row(SASREC, split_name, encoder, test),
    ]
    if beside == STACK:
        note = f"SASRec, EASE, item-kNN and popularity, weighed on {len(split.validation)} validation users"
        rows.append(_row(STACK, split_name, test.routing.scores, test, note))
    blends: list[MetricRow] = []
    hits: dict[str, Hits] = {}
    chosen: dict[Adapter, Chosen] = {}
    for adapter in adapters:
        scores = {name: _scores(recommender, part, adapter, step) for name, part in parts.items()}
        choice = _choose(recommender, parts["validation"], scores["validation"], adapter, step)
        chosen[adapter] = choice
        label = LABELS[adapter]
        hits[label] = _hits(scores["test"], test)
        rows.append(_row(label, split_name, scores["test"], test))
        mixed = blend(scores["test"], test.routing.scores, choice.blend_weight)
        note = (
            f"weight of {beside} {choice.blend_weight:g}, chosen on {len(split.validation)} validation users"
        )
        hits[f"{label} + {beside}"] = _hits(mixed, test)
        blends.append(_row(f"{label} + {beside}", split_name, mixed, test, note))
    pairs = [
        paired_row(hits, f"LoRA{tail}", f"iLoRA{tail}", split_name)
        for tail in ("", f" + {beside}")
        if {f"LoRA{tail}", f"iLoRA{tail}"} <= set(hits)
    ]
    return Measured((*rows, *blends), tuple(pairs), chosen)


def _scores(recommender: Recommender, part: _Part, adapter: Adapter, step: Step) -> Floats:
    what = f"{adapter} on {part.name} users"
    return ask(
        recommender.ranker,
        part.routing,
        part.cases,
        adapter,
        progress=lambda done, total: step(what, done, total),
    )


def _choose(recommender: Recommender, part: _Part, scores: Floats, adapter: Adapter, step: Step) -> Chosen:
    """The least blend weight that is as good as any, and the stage with the better full-catalogue NDCG@10."""
    choice = choose_heard_weight(scores, part.routing.scores, part.cases)
    histories = [case.history for case in part.cases]
    stretch = fair_stretch(torch.from_numpy(scores), recommender.ranker.model.space(adapter), histories)
    if not _head_is_trained(recommender, adapter):
        return Chosen(choice.weight, False, choice.ndcg10, None, stretch)
    first = blend(scores, part.routing.scores, choice.weight)
    second = ndcg_at(_reranked(recommender, part, first, choice.weight, adapter, step), 10)
    return Chosen(choice.weight, second > choice.ndcg10, choice.ndcg10, second, stretch)


def _head_is_trained(recommender: Recommender, adapter: Adapter) -> bool:
    """An untrained head ends in zeros and cannot change an order."""
    last = list(recommender.ranker.model.branches[adapter].parameters())[-2]
    return bool(last.abs().sum() > 0)


def _reranked(
    recommender: Recommender, part: _Part, first: Floats, weight: float, adapter: Adapter, step: Step
) -> Ranks:
    """Ranks on the full catalogue when branch mode orders the best 20 anew, as the recommender does."""
    pool = best_lists(first, part.cases, RETRIEVED)
    what = f"{adapter} second stage on {part.name} users"
    branch = ask(
        recommender.ranker,
        part.routing,
        part.cases,
        adapter,
        "branch",
        pool,
        progress=lambda d, n: step(what, d, n),
    )
    collaborative = np.take_along_axis(part.routing.scores, pool, axis=1)
    order = blend(branch, collaborative, weight)
    ranks = full_ranks(first, part.cases)
    targets = np.array([case.target for case in part.cases])
    inside = (pool == targets[:, None]).any(1)
    columns = (pool == targets[:, None]).argmax(1)
    own = np.take_along_axis(order, columns[:, None], axis=1)
    ranks[inside] = 1.0 + (order > own).sum(1)[inside]
    return ranks


def _hits(scores: Floats, part: _Part) -> Hits:
    """[n, draws]: whether the target came first, for each draw of candidates."""
    return np.stack([sampled_ranks(scores, part.cases, table) == 1 for table in part.candidates], axis=1)


def paired_row(hits: Mapping[str, Hits], a: str, b: str, split: str) -> PairedRow:
    """b against a on the same people: hits [n, draws] by method -> what bundle.json keeps."""
    compared = compare_paired(hits[a], hits[b], SEED, a, b)
    return PairedRow(
        a=a,
        b=b,
        split=split,
        n=compared.n,
        difference=compared.difference.mean,
        low=compared.difference.low,
        high=compared.difference.high,
        p=compared.mcnemar.p,
        detectable=compared.detectable,
        winner=compared.winner,
    )


def _row(method: str, split: str, scores: Floats, part: _Part, note: str = "") -> MetricRow:
    hr1 = rate(_hits(scores, part))
    return MetricRow(
        method=method,
        split=split,
        n=hr1.n,
        candidates=part.candidates[0].shape[1],
        hr1=hr1.mean,
        hr1_low=hr1.low,
        hr1_high=hr1.high,
        ndcg10=ndcg_at(full_ranks(scores, part.cases), 10),
        note=note,
    )
