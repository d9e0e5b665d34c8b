"""Finished training runs become a bundle that answers as they did."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.collaborative import StackedRouter
from core.data.dataset import Dataset
from core.errors import BundleError, RunError
from core.evaluation.stacking import stack_of
from core.training.finished import ADAPTER, RECIPE, SUMMARY, open_ranker, read_finished
from core.training.prepare import WEIGHTS, load_prepared
from core.training.recipe import Recipe, load_recipe
from core.training.run import open_backbone, train
from exports.bundle import load_bundle, verify_bundle
from exports.bundle_from_runs import NEAREST, bundle_from_runs
from exports.bundle_info import Adapter
from exports.bundle_to_runs import runs_from_bundle
from exports.bundle_writer import ADAPTER_WEIGHTS
from tests.command_line import ilora

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def runs(quick_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> dict[Adapter, Path]:
    folder = tmp_path_factory.mktemp("runs")
    train(quick_recipe(method="lora"), folder / "lora")
    train(quick_recipe(method="ilora"), folder / "ilora")
    return {"lora": folder / "lora", "ilora": folder / "ilora"}


@pytest.fixture(scope="module")
def head(quick_recipe: Make, runs: dict[Adapter, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained the second stage's head over the iLoRA run."""
    folder = tmp_path_factory.mktemp("heads") / "ilora"
    settings = ("mode=branch", "trained=head", f"start_from={runs['ilora']}", "run.max_steps=4")
    train(quick_recipe(*settings, method="ilora"), folder)
    return folder


@pytest.fixture(scope="module")
def mine(runs: dict[Adapter, Path], head: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "mine"
    info = bundle_from_runs(folder, runs, created_by="pytest", heads={"ilora": head})
    assert verify_bundle(folder) == info and info.name == "mine"
    return folder


def test_runs_become_a_bundle_that_recommends(runs: dict[Adapter, Path], mine: Path) -> None:
    info = verify_bundle(mine)
    assert {name: adapter.num_experts for name, adapter in info.adapters.items()} == {"lora": 1, "ilora": 4}
    assert info.adapters["ilora"].trainable_parameters["gate"] == 4 * (info.encoder_width + 1)
    assert info.metrics.training["ilora"].steps == 8

    recommender = load_bundle(mine)
    for adapter in recommender.adapters:
        assert len(recommender.recommend(["Fargo (1996)", "Heat (1995)"], adapter=adapter).items) == 10
    prepared = load_prepared(runs["ilora"])
    assert np.array_equal(recommender.popularity, prepared.popularity.long().numpy())
    branch = recommender.ranker.model.branches["ilora"]
    assert not torch.equal(branch.network[-1].weight, torch.zeros_like(branch.network[-1].weight))


def test_a_bundle_answers_with_the_runs_own_experts_and_stack(
    runs: dict[Adapter, Path], mine: Path, movielens: Dataset
) -> None:
    recommender = load_bundle(mine)
    run = read_finished(runs["ilora"])
    ranker, router = open_ranker(run, open_backbone(run.recipe), movielens)
    split = movielens.split("loo")
    histories = [case.history[-10:] for case in split.test[:3]]
    routed, own = recommender.router.route(histories), router.route(histories)
    stack = stack_of(movielens, split, run.prepared.encoder, NEAREST)
    assert stack is not None and isinstance(recommender.router, StackedRouter)
    wanted = stack.scores(histories, own.scores)
    assert np.abs(routed.scores - wanted).max() < 5e-3 * np.abs(wanted).max(), "tables in half precision"
    experts = recommender.ranker.model.space("ilora").experts
    assert experts is not None and experts.B.abs().sum() > 0
    assert recommender.ranker.model.space("lora").experts is None
    kept = ranker.score(own, histories, adapter="ilora")
    assert torch.allclose(recommender.ranker.score(routed, histories, adapter="ilora"), kept, atol=0.05)
    one_alone = np.eye(4, dtype=np.float32)[[0, 0, 0]]
    alone = recommender.ranker.score(routed, histories, adapter="ilora", gate=one_alone)
    assert (alone - kept).abs().max() > 0.01, "a gate set by hand is heard on the output too"


def test_a_small_bundle_takes_half_the_room_and_answers_alike(
    runs: dict[Adapter, Path], mine: Path, tmp_path: Path
) -> None:
    info = bundle_from_runs(tmp_path / "small", runs, created_by="pytest", small=True)
    usual = verify_bundle(mine)
    for name in ("lora", "ilora"):
        weights = f"{name}/adapter_model.safetensors"
        assert info.files[weights].size < 0.55 * usual.files[weights].size
    assert info.files["projector.safetensors"].size < 0.75 * usual.files["projector.safetensors"].size
    small, large = load_bundle(tmp_path / "small"), load_bundle(mine)
    history = [[3, 50, 181]]
    routed = large.router.route(history)
    for name in ("lora", "ilora"):
        one, other = (own.ranker.score(routed, history, adapter=name) for own in (small, large))
        assert not torch.equal(one, other)
        assert torch.allclose(one, other, atol=0.05)


def test_a_small_bundle_can_be_unpacked_trained_on_and_bundled_again(
    runs: dict[Adapter, Path], tmp_path: Path
) -> None:
    first = bundle_from_runs(tmp_path / "small", runs, created_by="pytest", small=True)
    unpacked = runs_from_bundle(tmp_path / "small", tmp_path / "unpacked")
    again = bundle_from_runs(tmp_path / "again" / "small", unpacked, created_by="pytest", small=True)
    for name in ("lora/adapter_model.safetensors", "ilora/adapter_model.safetensors"):
        assert first.files[name] == again.files[name]


def test_an_unfinished_run_is_refused(runs: dict[Adapter, Path], tmp_path: Path) -> None:
    unfinished = Path(shutil.copytree(runs["lora"], tmp_path / "unfinished"))
    (unfinished / SUMMARY).unlink()
    with pytest.raises(BundleError, match="holds no finished run"):
        bundle_from_runs(tmp_path / "mine", {**runs, "lora": unfinished}, created_by="pytest")


@pytest.mark.parametrize("control", ["static", "random", "shuffled"])
def test_a_control_is_refused_as_adapter_and_as_head(
    runs: dict[Adapter, Path], head: Path, tmp_path: Path, control: str
) -> None:
    for place, source in (("ilora", runs["ilora"]), ("head", head)):
        folder = Path(shutil.copytree(source, tmp_path / place))
        load_recipe(str(folder / RECIPE), [f"adapter.gate_reads={control}"]).save(folder / RECIPE)
    with pytest.raises(BundleError, match=f"is the {control} control"):
        bundle_from_runs(tmp_path / "mine", {**runs, "ilora": tmp_path / "ilora"}, created_by="pytest")
    with pytest.raises(BundleError, match=f"is the {control} control"):
        heads: dict[Adapter, Path] = {"ilora": tmp_path / "head"}
        bundle_from_runs(tmp_path / "mine", runs, created_by="pytest", heads=heads)
    assert not (tmp_path / "mine").exists()


def test_a_run_that_learned_beside_an_encoder_is_refused(runs: dict[Adapter, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs["lora"], tmp_path / "other"))
    load_recipe(str(other / RECIPE), ["model.residual=1"]).save(other / RECIPE)
    with pytest.raises(BundleError, match=r"model\.residual=1\), which serving does not add"):
        bundle_from_runs(tmp_path / "mine", {**runs, "lora": other}, created_by="pytest")


def test_runs_over_different_encoders_are_refused(runs: dict[Adapter, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs["lora"], tmp_path / "other"))
    _flip_last_bit(other / WEIGHTS)
    with pytest.raises(BundleError, match="different encoders"):
        bundle_from_runs(tmp_path / "mine", {**runs, "lora": other}, created_by="pytest")


def test_a_generate_run_is_refused(runs: dict[Adapter, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs["lora"], tmp_path / "other"))
    load_recipe(str(other / RECIPE), mode="generate").save(other / RECIPE)
    with pytest.raises(BundleError, match="generate mode"):
        bundle_from_runs(tmp_path / "mine", {**runs, "lora": other}, created_by="pytest")


def test_a_head_over_another_encoder_is_refused(
    runs: dict[Adapter, Path], head: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(head, tmp_path / "other"))
    _flip_last_bit(other / WEIGHTS)
    with pytest.raises(BundleError, match="different encoders"):
        bundle_from_runs(tmp_path / "mine", runs, created_by="pytest", heads={"ilora": other})


def test_a_head_of_another_adapter_is_refused(runs: dict[Adapter, Path], head: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs["ilora"], tmp_path / "other"))
    _flip_last_bit(other / ADAPTER / "ilora" / ADAPTER_WEIGHTS)
    with pytest.raises(BundleError, match="trained its head on another adapter"):
        bundle_from_runs(tmp_path / "mine", {"ilora": other}, created_by="pytest", heads={"ilora": head})


def test_a_bundle_unpacked_into_runs_and_bundled_again_is_the_same(mine: Path, tmp_path: Path) -> None:
    first = verify_bundle(mine)
    unpacked = runs_from_bundle(mine, tmp_path / "runs")
    assert unpacked["lora"] == tmp_path / "runs" / "mine-lora"
    again = bundle_from_runs(tmp_path / "again" / "mine", unpacked, created_by="pytest")
    assert again.files.keys() == first.files.keys()
    weights = [name for name in first.files if name.endswith((".safetensors", ".onnx"))]
    assert {n: again.files[n].sha256 for n in weights} == {n: first.files[n].sha256 for n in weights}
    assert again.metrics.training["ilora"].steps == 8
    with pytest.raises(RunError, match="is there already"):
        runs_from_bundle(mine, tmp_path / "runs")


def test_a_head_trains_on_a_bundle(quick_recipe: Make, mine: Path, tmp_path: Path) -> None:
    unpacked = runs_from_bundle(mine, tmp_path / "runs")
    settings = ("mode=branch", "trained=head", f"start_from={unpacked['lora']}", "run.max_steps=4")
    train(quick_recipe(*settings, method="lora"), tmp_path / "head")
    heads: dict[Adapter, Path] = {"lora": tmp_path / "head"}
    info = bundle_from_runs(tmp_path / "second", unpacked, created_by="pytest", heads=heads)
    assert info.adapters["lora"].trainable_parameters["branch head"] > 0
    branch = load_bundle(tmp_path / "second").ranker.model.branches["lora"]
    assert not torch.equal(branch.network[-1].weight, torch.zeros_like(branch.network[-1].weight))


def test_a_bundle_does_not_go_on_over_another_split(mine: Path, tmp_path: Path) -> None:
    paper = ("--set", "split=paper", "--out", tmp_path / "run")
    done = ilora("train", "--from-bundle", mine, *paper)
    assert done.returncode == 2 and "go on with split=loo, or train anew" in done.stderr


def _flip_last_bit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
