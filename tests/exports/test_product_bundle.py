"""The bundle that comes with the product: whole, small, fast to route with, and what torch would say."""

from pathlib import Path

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.encoder import EncoderShape, TorchRouter
from core.training.alarms import DEAD_SHARE
from exports.bundle import DEFAULT_BUNDLE, BundleInfo, verify_bundle
from exports.bundle_info import ROUTER
from exports.bundle_writer import read_gate
from exports.model_card import render_card
from exports.onnx_graph import read_encoder
from exports.onnx_router import OnnxRouter

MOST_BYTES = 15_000_000
BASELINES = {"popularity", "sasrec"}


@pytest.fixture(scope="module")
def info() -> BundleInfo:
    return verify_bundle(DEFAULT_BUNDLE)


def test_it_verifies_and_is_small(info: BundleInfo) -> None:
    assert sum(file.size for file in info.files.values()) <= MOST_BYTES
    assert set(info.adapters) == {"ilora", "lora"} and info.mode == "catalogue"


def test_it_belongs_to_the_data_set_as_it_is_read_here(info: BundleInfo, movielens: Dataset) -> None:
    assert (info.dataset.name, info.dataset.sha256) == ("movielens", movielens.sha256)


def test_1000_real_histories_route_as_the_trained_encoder_and_gate_do_in_torch(
    histories: list[tuple[int, ...]],
) -> None:
    router = OnnxRouter(DEFAULT_BUNDLE / ROUTER)
    shape = router.shape
    encoder = EncoderShape(shape.num_items, shape.width, shape.layers, shape.heads, shape.max_length)
    gate = read_gate(DEFAULT_BUNDLE / "ilora")
    torch_router = TorchRouter(read_encoder(DEFAULT_BUNDLE / ROUTER, encoder), gate, shape.retrieve)
    for start in range(0, len(histories), 125):
        batch = histories[start : start + 125]
        found, expected = router.route(batch), torch_router.route(batch)
        for name in ("sequence", "gate", "scores"):
            # 1e-5, and one rounding of float32 for scores far from 0
            assert np.allclose(getattr(found, name), getattr(expected, name), rtol=2.0**-23, atol=1e-5), name


def test_its_gate_uses_every_expert_and_tells_people_apart(movielens: Dataset) -> None:
    cases = movielens.split("loo").test
    gates = OnnxRouter(DEFAULT_BUNDLE / ROUTER).route([case.history[-10:] for case in cases]).gate
    assert gates.mean(axis=0).min() > DEAD_SHARE / gates.shape[1], "a dead expert"
    assert gates.std(axis=0).max() > 0.02, "everybody gets the same mixture"


@pytest.mark.parametrize("split", ["loo", "paper"])
def test_its_card_reports_the_split_beside_the_baselines(info: BundleInfo, split: str) -> None:
    rows = {row.method.casefold(): row for row in info.metrics.rows if row.split == split}
    assert {"ilora", "lora", *BASELINES} <= set(rows), sorted(rows)
    for row in rows.values():
        assert row.hr1_low <= row.hr1 <= row.hr1_high and row.n > 0 and row.ndcg10 is not None
    assert (DEFAULT_BUNDLE / "README.md").read_text(encoding="utf-8") == render_card(info)


def test_no_file_of_it_names_a_folder_of_the_machine_that_trained_it(info: BundleInfo) -> None:
    home = str(Path.home()).encode()
    for name in info.files:
        content = (DEFAULT_BUNDLE / name).read_bytes()
        assert b"/tmp/" not in content and home not in content, name
