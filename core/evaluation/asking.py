"""Ask a ranker or a router the questions of a split, exactly as they are asked when serving."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.data.dataset import Case
from core.evaluation.metrics import Ranks, ranks_among
from core.ranker import Mode, Ranker
from core.routing import HISTORY_AT_TEST, Floats, Indices, Router, Routing

Progress = Callable[[int, int], None]
"""Told (cases done, cases in all)."""


def ignore(done: int, total: int) -> None:
    """For who need not know."""


def route_cases(router: Router, cases: Sequence[Case], batch_size: int = 256) -> Routing:
    """Routing of every case's history, B = n."""
    histories = [case.history[-HISTORY_AT_TEST:] for case in cases]
    parts = [router.route(histories[i : i + batch_size]) for i in range(0, len(histories), batch_size)]
    return Routing(
        sequence=np.concatenate([p.sequence for p in parts]),
        gate=np.concatenate([p.gate for p in parts]),
        scores=np.concatenate([p.scores for p in parts]),
        retrieved=np.concatenate([p.retrieved for p in parts]),
    )


def ask(
    ranker: Ranker,
    routing: Routing,
    cases: Sequence[Case],
    adapter: str,
    mode: Mode = "catalogue",
    candidates: Indices | None = None,
    gate: Floats | None = None,
    progress: Progress = ignore,
    chunk: int = 128,
) -> Floats:
    """Scores of every case: [n, C] float32 with candidates, else [n, N].

    Args:
        gate: [n, K] overrides the routed mixtures (controls).
    """
    parts = []
    for start in range(0, len(cases), chunk):
        rows = slice(start, start + chunk)
        scores = ranker.score(
            Routing(
                routing.sequence[rows], routing.gate[rows], routing.scores[rows], routing.retrieved[rows]
            ),
            [case.history[-HISTORY_AT_TEST:] for case in cases[rows]],
            None if candidates is None else candidates[rows],
            adapter=adapter,
            gate=None if gate is None else gate[rows],
            mode=mode,
        )
        parts.append(scores.numpy())
        progress(min(start + chunk, len(cases)), len(cases))
    return np.concatenate(parts)


def targets_of(cases: Sequence[Case]) -> NDArray[np.int64]:
    """[n] int64."""
    return np.array([case.target for case in cases], dtype=np.int64)


def sampled_ranks(scores: Floats, cases: Sequence[Case], candidates: Indices) -> Ranks:
    """Rank of each target among its candidates; scores [n, N] (catalogue) or [n, C] (candidates)."""
    if scores.shape[1] != candidates.shape[1]:
        scores = np.take_along_axis(scores, candidates, axis=1)
    columns = (candidates == targets_of(cases)[:, None]).argmax(1)
    return ranks_among(scores, columns)


def full_ranks(scores: Floats, cases: Sequence[Case]) -> Ranks:
    """Rank of each target in the whole catalogue without what the user had already seen. scores [n, N]."""
    masked = scores.copy()
    for row, case in zip(masked, cases, strict=True):
        row[[item for item in case.history if item != case.target]] = -np.inf
    return ranks_among(masked, targets_of(cases))
