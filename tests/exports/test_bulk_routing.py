"""Many people routed at once get what each would get alone."""

import numpy as np
import pytest

from core.errors import DataError
from exports.bulk_routing import CHUNK, BulkRouting, route_in_bulk
from exports.bundle import DEFAULT_BUNDLE
from exports.bundle_info import ROUTER
from exports.onnx_router import OnnxRouter

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def router() -> OnnxRouter:
    return OnnxRouter(DEFAULT_BUNDLE / ROUTER)


@pytest.fixture(scope="module")
def bulk(router: OnnxRouter, histories: list[tuple[int, ...]]) -> BulkRouting:
    return route_in_bulk(router, histories, top=20, threads=2)


def test_1000_people_get_what_each_gets_alone(
    router: OnnxRouter, histories: list[tuple[int, ...]], bulk: BulkRouting
) -> None:
    for row in range(0, len(histories), 7):
        alone = router.route([histories[row]])
        assert np.abs(bulk.sequence[row] - alone.sequence[0]).max() <= TOLERANCE
        assert np.abs(bulk.gate[row] - alone.gate[0]).max() <= TOLERANCE
        scores = alone.scores[0]
        # The best 20 by a full sort; two items nearer than rounding may change places.
        best = np.sort(scores)[::-1][:20]
        assert np.abs(scores[bulk.best[row]] - best).max() <= 10 * TOLERANCE


def test_the_number_of_threads_changes_nothing(
    router: OnnxRouter, histories: list[tuple[int, ...]], bulk: BulkRouting
) -> None:
    one = route_in_bulk(router, histories, top=20, threads=1)
    assert (one.best == bulk.best).all() and (one.sequence == bulk.sequence).all()


@pytest.mark.parametrize("people", [0, 1, CHUNK, CHUNK + 1])
def test_any_number_of_people_is_routed(
    router: OnnxRouter, histories: list[tuple[int, ...]], people: int
) -> None:
    done = route_in_bulk(router, histories[:people], top=5)
    assert done.best.shape == (people, 5) and done.gate.shape == (people, router.num_experts)
    assert np.allclose(done.gate.sum(1), 1, atol=1e-6)


def test_what_cannot_be_routed_is_one_sentence(router: OnnxRouter) -> None:
    with pytest.raises(DataError, match="top=101 items were asked for; this router retrieves 1 to 100"):
        route_in_bulk(router, [(1,)], top=101)
    with pytest.raises(DataError, match="History 1 holds item index 9999"):
        route_in_bulk(router, [(1, 2, 3), (9999,)])
