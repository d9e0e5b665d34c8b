"""The ONNX router says what torch says, from one small file."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from core.encoder import EncoderShape, SASRec, TorchRouter
from core.errors import BundleError, DataError
from core.gate import Gate
from exports.onnx_graph import read_encoder
from exports.onnx_router import OUTPUTS, OnnxRouter, RouterShape, export_router

NUM_ITEMS, WIDTH, EXPERTS, RETRIEVE = 1682, 64, 4, 100
TOLERANCE = 1e-5
ONE_ROUNDING = 2.0**-23  # of float32: scores reach 16 and more, where 1e-5 is only five of them


@dataclass(frozen=True)
class Twins:
    """One encoder and gate, exported, run by ONNX Runtime and by torch."""

    path: Path
    numbers: int
    onnx: OnnxRouter
    torch: TorchRouter


@pytest.fixture(scope="module", params=[1, 2])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    torch.manual_seed(request.param)
    encoder, gate = SASRec(EncoderShape(NUM_ITEMS)), Gate(WIDTH, EXPERTS)
    torch.nn.init.normal_(encoder.items.weight, std=0.2)  # as spread out as trained vectors are
    torch.nn.init.normal_(encoder.start, std=0.5)
    path = tmp_path_factory.mktemp("router") / "gate.onnx"
    export_router(encoder, gate, path, RETRIEVE)
    numbers = sum(p.numel() for module in (encoder, gate) for p in module.parameters())
    return Twins(path, numbers, OnnxRouter(path), TorchRouter(encoder, gate, RETRIEVE))


@pytest.fixture(scope="module")
def all_alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small router without a gate, for which all 30 items are the same."""
    encoder = SASRec(EncoderShape(num_items=30, max_length=5)).train()
    torch.nn.init.zeros_(encoder.items.weight)
    path = tmp_path_factory.mktemp("small") / "gate.onnx"
    export_router(encoder, None, path, retrieve=100)
    assert all(module.training for module in encoder.modules()), "exporting must leave the encoder as it was"
    return path


def test_1000_real_histories_route_as_in_torch(twins: Twins, histories: list[tuple[int, ...]]) -> None:
    ours, reference = twins.onnx, twins.torch
    lengths = {len(history) for history in histories}
    assert len(histories) == 1000 and {0, 1} <= lengths and max(lengths) > ours.shape.max_length
    for start in range(0, 1000, 125):
        batch = histories[start : start + 125]
        found, expected = ours.route(batch), reference.route(batch)
        for name in ("sequence", "gate", "scores"):
            assert np.allclose(getattr(found, name), getattr(expected, name), ONE_ROUNDING, TOLERANCE), name
        # Two items whose scores differ by less than the tolerance may change places.
        chosen = np.take_along_axis(expected.scores, found.retrieved, axis=1)
        best = np.take_along_axis(expected.scores, expected.retrieved, axis=1)
        assert np.abs(chosen - best).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("layers", "heads", "gate"),
    [
        (1, 1, {}),
        (3, 4, {"temperature": 0.5}),
        (2, 2, {"hidden": 7}),
        (1, 2, {"layers": 3}),
        (2, 1, {"layers": 2, "hidden": 5, "temperature": 2.0}),
    ],
)
def test_any_shape_routes_as_in_torch(tmp_path: Path, layers: int, heads: int, gate: dict[str, Any]) -> None:
    torch.manual_seed(layers)
    encoder = SASRec(EncoderShape(NUM_ITEMS, width=16, layers=layers, heads=heads, max_length=9))
    experts = Gate(16, EXPERTS, **gate)
    for parameter in (*encoder.parameters(), *experts.parameters()):  # biases too, which begin at zero
        torch.nn.init.normal_(parameter, std=0.4)
    export_router(encoder, experts, tmp_path / "gate.onnx", RETRIEVE)
    people = [(), (5,), tuple(range(9)), tuple(range(30, 50)), (7, 7, 7)]
    found = OnnxRouter(tmp_path / "gate.onnx").route(people)
    expected = TorchRouter(encoder, experts, RETRIEVE).route(people)
    for name in ("sequence", "gate", "scores"):
        assert getattr(found, name).shape == getattr(expected, name).shape, name
        assert np.allclose(getattr(found, name), getattr(expected, name), 1e-5, 1e-5), name


def test_batch_mates_and_padding_change_nothing(twins: Twins) -> None:
    router = twins.onnx
    together = router.route([(), (5,), tuple(range(40))])
    for row, history in enumerate([(), (5,), tuple(range(40))]):
        alone = router.route([history])
        for name in ("sequence", "gate", "scores"):
            assert np.abs(getattr(together, name)[row] - getattr(alone, name)[0]).max() <= TOLERANCE
        assert (together.retrieved[row] == alone.retrieved[0]).all()


def test_outputs_have_the_promised_shapes_and_types(twins: Twins) -> None:
    routing = twins.onnx.route([(1, 2), (3,), ()])
    assert routing.sequence.shape == (3, WIDTH) and routing.sequence.dtype == np.float32
    assert routing.gate.shape == (3, EXPERTS) and routing.gate.dtype == np.float32
    assert routing.scores.shape == (3, NUM_ITEMS) and routing.scores.dtype == np.float32
    assert routing.retrieved.shape == (3, RETRIEVE) and routing.retrieved.dtype == np.int64
    assert (routing.gate >= 0).all() and np.allclose(routing.gate.sum(1), 1, atol=1e-6)
    assert (np.diff(np.take_along_axis(routing.scores, routing.retrieved, axis=1)) <= 0).all()


def test_no_history_at_all_routes_to_an_empty_batch(twins: Twins) -> None:
    routing = twins.onnx.route([])
    shapes = [getattr(routing, name).shape for name in OUTPUTS]
    assert shapes == [(0, WIDTH), (0, EXPERTS), (0, NUM_ITEMS), (0, RETRIEVE)]


def test_equal_scores_are_retrieved_by_ascending_index(all_alike: Path) -> None:
    assert OnnxRouter(all_alike).route([(1, 2)]).retrieved.tolist() == [list(range(30))]


def test_retrieval_never_asks_for_more_than_the_catalogue(all_alike: Path) -> None:
    assert OnnxRouter(all_alike).shape.retrieve == 30


def test_without_a_gate_there_is_one_expert(all_alike: Path) -> None:
    router = OnnxRouter(all_alike)
    assert router.num_experts == 1
    assert router.route([(1,), ()]).gate.tolist() == [[1.0], [1.0]]


def test_the_file_holds_every_item_vector_once(twins: Twins) -> None:
    assert twins.path.stat().st_size < 4 * twins.numbers + 40_000


def test_the_file_knows_itself(twins: Twins) -> None:
    assert twins.onnx.shape == RouterShape(NUM_ITEMS, WIDTH, EXPERTS, 50, RETRIEVE, layers=2, heads=2)
    onnx.checker.check_model(str(twins.path), full_check=True)


def test_the_encoder_comes_back_from_the_file_weight_for_weight(twins: Twins) -> None:
    expected = twins.torch.encoder
    found = read_encoder(twins.path, expected.shape).state_dict()
    assert found.keys() == expected.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in expected.state_dict().items())


def test_the_file_names_no_folder_of_the_machine_that_wrote_it(twins: Twins) -> None:
    content = twins.path.read_bytes()
    assert str(Path.cwd()).encode() not in content and b".py" not in content


def test_nothing_unfinished_is_left_beside_the_file(twins: Twins) -> None:
    assert list(twins.path.parent.iterdir()) == [twins.path]


@pytest.mark.parametrize("wrong", [NUM_ITEMS, NUM_ITEMS + 5, -1])
def test_an_index_outside_the_catalogue_is_refused(twins: Twins, wrong: int) -> None:
    for router in (twins.onnx, twins.torch):
        with pytest.raises(DataError, match=f"History 1 holds item index {wrong}; indices go from 0 to 1681"):
            router.route([(1,), (2, wrong, 3)])


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no router file"):
        OnnxRouter(tmp_path / "gate.onnx")


def test_a_damaged_file_is_one_sentence(all_alike: Path, tmp_path: Path) -> None:
    whole = all_alike.read_bytes()
    for content in (b"", b"not a model", whole[: len(whole) // 2]):
        (tmp_path / "gate.onnx").write_bytes(content)
        with pytest.raises(BundleError, match="export the router again"):
            OnnxRouter(tmp_path / "gate.onnx")


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "format none, wanted ilora-router/1"),
        ({"format": "ilora-router/2"}, "format ilora-router/2, wanted ilora-router/1"),
        ({"format": "ilora-router/1", "num_items": "30"}, "incomplete metadata"),
    ],
)
def test_another_onnx_file_is_not_taken_for_a_router(
    all_alike: Path, tmp_path: Path, metadata: dict[str, str], sentence: str
) -> None:
    model = onnx.load(all_alike)
    onnx.helper.set_model_props(model, metadata)
    onnx.save_model(model, tmp_path / "gate.onnx")
    with pytest.raises(BundleError, match=sentence):
        OnnxRouter(tmp_path / "gate.onnx")


def test_routing_needs_no_torch() -> None:
    code = "import sys; import exports.onnx_router; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
