"""Row 7: one person routed, ONNX Runtime against torch, one thread each."""

import time

import numpy as np
import torch

from core.encoder import EncoderShape, TorchRouter
from core.recommender import Recommender
from exports.bundle import DEFAULT_BUNDLE
from exports.bundle_info import ROUTER
from exports.bundle_writer import read_gate
from exports.onnx_graph import read_encoder
from exports.onnx_router import OnnxRouter
from tests.bench.conftest import Bench
from tests.bench.people import People
from tests.bench.timing import Measured, in_turns

BLOCK = 25
"""People who are routed before the other's turn comes. With one a turn, each finds the caches as the other
left them; that is kept as a detail of the row."""


def torch_twin(router: OnnxRouter) -> TorchRouter:
    """The very encoder and gate of the file, in eager torch."""
    shape = router.shape
    wanted = EncoderShape(shape.num_items, shape.width, shape.layers, shape.heads, shape.max_length)
    encoder = read_encoder(DEFAULT_BUNDLE / ROUTER, wanted)
    return TorchRouter(encoder, read_gate(DEFAULT_BUNDLE / "ilora"), shape.retrieve)


def test_one_person_is_routed(bench: Bench, product: Recommender, viewers: People) -> None:
    router = OnnxRouter(DEFAULT_BUNDLE / ROUTER, threads=1)
    twin = torch_twin(router)
    torch.set_num_threads(1)
    people = [[history] for history in viewers.histories[: bench.of(500, 20)]]
    for one in people[:20]:
        found, expected = router.route(one), twin.route(one)
        assert np.abs(found.gate - expected.gate).max() < 1e-5
        assert np.allclose(found.scores, expected.scores, rtol=1e-6, atol=1e-5)
    blocks = [people[start : start + BLOCK] for start in range(0, len(people), BLOCK)]
    turns, other, seconds = iter(blocks * 2), iter(blocks * 2), []

    def ours() -> None:
        for one in next(turns):
            began = time.perf_counter()
            router.route(one)
            seconds.append(time.perf_counter() - began)

    def theirs() -> None:
        for one in next(other):
            twin.route(one)

    took = in_turns({"theirs": theirs, "ours": ours}, len(blocks))
    singly, other_singly = iter(people * 2), iter(people * 2)
    runs = {"theirs": lambda: twin.route(next(other_singly)), "ours": lambda: router.route(next(singly))}
    cold = in_turns(runs, len(people), warm_up=5).ratio("theirs", over="ours").value
    note = f"both retrieve, too; history of 10; {BLOCK} people a turn, one after another"
    bench.record("7", took.ratio("theirs", over="ours"), note, {"one person a turn": cold})
    bench.record("7-p50", Measured.of(seconds[BLOCK:]), scale=1000)
