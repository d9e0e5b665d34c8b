"""A bundle comes back as it was saved, and says in one sentence why it cannot be used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.assets import BACKBONE
from core.encoder import EncoderShape, SASRec
from core.errors import BundleError
from core.gate import Gate
from core.recommender import Recommender
from exports.bundle import load_bundle, save_bundle, update_bundle, verify_bundle
from exports.bundle_check import file_info
from exports.bundle_info import INFO, PROJECTOR, ROUTER, SCHEMA_VERSION
from exports.bundle_writer import read_gate
from exports.onnx_router import export_router
from tests.exports.random_bundle import Made

HISTORIES = [(), (49,), (0, 99, 180, 241, 257), tuple(range(300, 330))]


@pytest.fixture(scope="module")
def loaded(made: Made) -> Recommender:
    return load_bundle(made.path)


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.path, tmp_path / "copied"))


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change bundle.json as an attentive attacker or a later version would."""
    info = json.loads((folder / INFO).read_text())
    change(info)
    (folder / INFO).write_text(json.dumps(info))


def hash_again(folder: Path, name: str) -> None:
    edit(folder, lambda info: info["files"].update({name: file_info(folder / name).model_dump()}))  # type: ignore[attr-defined]


@pytest.mark.parametrize("adapter", ["ilora", "lora"])
@pytest.mark.parametrize("mode", ["catalogue", "branch"])
def test_a_loaded_bundle_scores_as_what_was_saved(
    made: Made, loaded: Recommender, adapter: str, mode: str
) -> None:
    routing = loaded.router.route(HISTORIES)
    candidates = np.tile(np.arange(100, 106), (len(HISTORIES), 1))
    before = made.ranker.score(routing, HISTORIES, candidates, adapter, mode=mode)
    after = loaded.ranker.score(routing, HISTORIES, candidates, adapter, mode=mode)
    assert torch.equal(before, after)
    assert len(before.unique()) > len(HISTORIES)


def test_a_loaded_bundle_has_the_adapters_own_gate_and_the_saved_popularity(
    made: Made, loaded: Recommender
) -> None:
    gate = read_gate(made.path / "ilora")
    assert gate is not None and read_gate(made.path / "lora") is None
    routing = loaded.router.route(HISTORIES)
    with torch.no_grad():
        expected = gate(torch.from_numpy(routing.sequence)).numpy()
    assert np.abs(routing.gate - expected).max() <= 1e-5
    assert routing.gate.std(axis=0).max() > 1e-3, "a gate that ignores its input would pass this test"
    assert loaded.popularity.tolist() == made.prepared.popularity.long().tolist()


def test_verifying_returns_what_saving_returned(made: Made) -> None:
    assert verify_bundle(made.path) == made.info
    assert {ROUTER, PROJECTOR, "README.md", "ilora/adapter_config.json"} <= set(made.info.files)


def test_the_adapters_are_stored_in_bf16_and_name_no_local_folder(made: Made) -> None:
    for adapter in ("ilora", "lora"):
        tensors = load_file(made.path / adapter / "adapter_model.safetensors")
        low_rank = [t for key, t in tensors.items() if key.endswith(("experts_A", "experts_B"))]
        assert len(low_rank) == 2 * 7 * 30 and all(t.dtype == torch.bfloat16 for t in low_rank)
        config = json.loads((made.path / adapter / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == BACKBONE
    for file in made.path.rglob("*"):
        assert file.is_dir() or str(made.path.parent).encode() not in file.read_bytes(), file


def test_every_file_is_guarded_by_its_hash(made: Made, copied: Path) -> None:
    for name in made.info.files:
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"damaged: {name} is not the file that was saved"):
            verify_bundle(copied)
        (copied / name).write_bytes(content)
    verify_bundle(copied)


def test_a_missing_bundle_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"There is no bundle at .*`ilora bundle` makes one"):
        load_bundle(tmp_path / "nowhere")


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "ilora" / "adapter_model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"damaged: ilora/adapter_model.safetensors is missing"):
        verify_bundle(copied)


def test_an_unknown_file_is_refused(copied: Path) -> None:
    (copied / "lora" / "extra.safetensors").write_bytes(b"")
    with pytest.raises(
        BundleError, match=r"holds lora/extra.safetensors, which its bundle.json does not list"
    ):
        verify_bundle(copied)


def test_a_listed_pickle_is_refused(copied: Path) -> None:
    (copied / "weights.pt").write_bytes(b"")
    hash_again(copied, "weights.pt")
    with pytest.raises(BundleError, match=r"lists weights.pt, which may not be in a bundle"):
        verify_bundle(copied)


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/hosts.json", "ilora/../../outside.json", "a\\b.json"]
)
def test_a_listed_path_that_leaves_the_folder_is_refused(copied: Path, name: str) -> None:
    edit(copied, lambda info: info["files"].update({name: {"sha256": "0" * 64, "size": 0}}))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match="may not be in a bundle"):
        verify_bundle(copied)


def test_a_link_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "README.md").rename(tmp_path / "README.md")
    (copied / "README.md").symlink_to(tmp_path / "README.md")
    with pytest.raises(BundleError, match="is a link"):
        verify_bundle(copied)


def test_a_newer_schema_asks_for_an_update(copied: Path) -> None:
    edit(copied, lambda info: info.update({"schema_version": SCHEMA_VERSION + 1, "novelty": 1}))
    with pytest.raises(BundleError, match="has schema 3; this version reads up to 2: update ilora"):
        verify_bundle(copied)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": "1"}', '{"schema_version": 1}'])
def test_a_damaged_bundle_json_is_one_sentence(copied: Path, content: str) -> None:
    (copied / INFO).write_text(content)
    with pytest.raises(BundleError, match=r"is damaged: bundle\.json"):
        verify_bundle(copied)


def test_a_bundle_of_another_data_set_is_refused(copied: Path) -> None:
    edit(copied, lambda info: info["dataset"].update({"sha256": "0" * 64}))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=r"was trained on another movielens \(sha256 000000000000…, here"):
        load_bundle(copied)


def test_a_bundle_of_another_backbone_is_refused(copied: Path) -> None:
    edit(copied, lambda info: info["backbone"].update({"sha256": "0" * 64}))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=rf"belongs to another {BACKBONE} \(sha256 000000000000…, here"):
        load_bundle(copied)


def test_tensors_of_another_shape_are_one_sentence(copied: Path) -> None:
    tensors = load_file(copied / PROJECTOR)
    tensors["ilora.space.bias"] = tensors["ilora.space.bias"][:-1]
    save_file(tensors, copied / PROJECTOR)
    hash_again(copied, PROJECTOR)
    with pytest.raises(BundleError, match=r"does not fit together: .*1681"):
        load_bundle(copied)


def test_saving_replaces_an_older_bundle_and_leaves_nothing_beside_it(made: Made, copied: Path) -> None:
    (copied / "old.json").write_text("{}")
    save_bundle(copied, made.info, made.prepared, made.parts)
    assert verify_bundle(copied).name == made.info.name
    assert [entry.name for entry in copied.parent.iterdir()] == [copied.name]


def test_a_failed_save_keeps_the_older_bundle(made: Made, copied: Path) -> None:
    parts = {**made.parts, "lora": made.parts["ilora"]}
    with pytest.raises(BundleError, match="only one of its adapters can have experts"):
        save_bundle(copied, made.info, made.prepared, parts)
    assert verify_bundle(copied) == made.info
    assert [entry.name for entry in copied.parent.iterdir()] == [copied.name]


def test_a_bundle_must_describe_its_adapters(made: Made, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="describes"):
        save_bundle(tmp_path / "b", made.info, made.prepared, {"ilora": made.parts["ilora"]})


def test_updating_changes_the_record_and_the_card_but_no_weights(made: Made, copied: Path) -> None:
    row = {"method": "iLoRA", "split": "loo", "n": 943, "hr1": 0.5, "hr1_low": 0.4, "hr1_high": 0.6}
    updated = update_bundle(copied, metrics={"rows": [row]})
    assert verify_bundle(copied) == updated
    assert "| iLoRA | loo | 943 | 0.500 [0.400, 0.600] |" in (copied / "README.md").read_text()
    changed = {name for name in made.info.files if updated.files[name] != made.info.files[name]}
    assert changed == {"README.md"}


def test_a_router_of_another_catalogue_is_refused(copied: Path) -> None:
    encoder = SASRec(EncoderShape(num_items=30))
    export_router(encoder, Gate(width=64, num_experts=4), copied / ROUTER)
    hash_again(copied, ROUTER)
    with pytest.raises(BundleError, match=r"the router has \(items, width, experts\) \(30, 64, 4\)"):
        load_bundle(copied)
