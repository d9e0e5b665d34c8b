"""Row 8: everybody routed."""

import numpy as np

from exports.bulk_routing import route_in_bulk
from exports.bundle import DEFAULT_BUNDLE
from exports.bundle_info import ROUTER
from exports.onnx_router import OnnxRouter
from quant.devices import devices
from tests.bench.conftest import Bench
from tests.bench.people import People
from tests.bench.timing import Measured, in_turns


def test_everybody_is_routed(bench: Bench, viewers: People) -> None:
    router = OnnxRouter(DEFAULT_BUNDLE / ROUTER, threads=1)
    people = viewers.histories * bench.of(32, 1)
    done = route_in_bulk(router, people[:200])
    scores = router.route(people[:200]).scores
    best = -np.sort(-scores, axis=1)[:, :20]  # by a full sort
    assert np.abs(np.take_along_axis(scores, done.best, axis=1) - best).max() < 1e-4
    took = in_turns({"ours": lambda: route_in_bulk(router, people)}, bench.of(7))
    rates = Measured.of([len(people) / seconds for seconds in took.seconds["ours"]])
    bench.record(
        "8", rates, f"{len(people):,} histories of 10, {len(scores[0]):,} items, {devices().cores} threads"
    )
