"""Routing for many people at once: chunks of like length, one per core, and no scores that nobody keeps.

A routing of B people holds the scores of all N items, gigabytes for a million people; what a batch job wants
of them are the best few. A chunk is small enough that its activations stay in a core's cache.

Shapes: U people, D encoder width, K experts, T best items.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from core.routing import Floats, History, Indices, pad_indices
from exports.onnx_router import OnnxRouter
from quant.devices import devices

CHUNK = 64


@dataclass(frozen=True)
class BulkRouting:
    """What routing says of U people, in the order they were given.

    Attributes:
        sequence: [U, D] float32, the encoder's states.
        gate: [U, K] float32, expert weights.
        best: [U, T] int64, the exact best T items of the catalogue, best first.
    """

    sequence: Floats
    gate: Floats
    best: Indices


def route_in_bulk(
    router: OnnxRouter, histories: Sequence[History], top: int = 20, threads: int | None = None
) -> BulkRouting:
    """Histories (oldest first, any length) -> sequence vectors, gates and the best `top` items of each.

    Args:
        router: with one thread of its own: people are shared out among `threads`, not products.
        threads: None is every core this process may use.

    Raises:
        DataError: an item index outside the catalogue, or more items than the router retrieves.
    """
    shape = router.shape
    if not 1 <= top <= shape.retrieve:
        raise DataError(f"top={top} items were asked for; this router retrieves 1 to {shape.retrieve}.")
    lengths = [min(len(history), shape.max_length) for history in histories]
    order = np.argsort(lengths, kind="stable")  # like lengths together: little padding
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    done = BulkRouting(
        np.empty((len(histories), shape.width), dtype=np.float32),
        np.empty((len(histories), shape.num_experts), dtype=np.float32),
        np.empty((len(histories), top), dtype=np.int64),
    )

    def route(rows: Indices) -> None:
        try:
            found = router.retrieve([histories[row] for row in rows])
        except DataError:
            pad_indices(histories, shape.num_items, shape.max_length)  # names it by its place among all
            raise
        done.sequence[rows], done.gate[rows], done.best[rows] = *found[:2], found[2][:, :top]

    with ThreadPoolExecutor(threads or devices().cores) as pool:
        for _ in pool.map(route, chunks):  # raises what a chunk raised
            pass
    return done
