"""Row 10: what happens to the cost when work grows: curves, and how straight or flat they are."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from core.data.dataset import Dataset
from core.gate import Gate
from core.item_space import ItemFeatures, ItemSpace
from core.packing import pack_branches, pack_catalogue
from core.ranker import Ranker
from core.ranking_model import Mixture, RankingModel
from core.recommender import Recommender
from exports.onnx_router import OnnxRouter, export_router
from quant.backbone import Backbone
from tests.bench.conftest import Bench
from tests.bench.layer_opponents import layer_batch, ours, seven_linears
from tests.bench.people import People
from tests.bench.test_row_07_routing import torch_twin
from tests.bench.timing import InTurns, Measured, in_turns


def curve(runs: Mapping[int, Callable[[], object]], rounds: int) -> tuple[dict[str, list[float]], InTurns]:
    """Milliseconds at every size, as a row's series."""
    took = in_turns({str(size): run for size, run in runs.items()}, rounds)
    milliseconds = [1000 * took.median(str(size)) for size in runs]
    return {"size": [float(size) for size in runs], "ms": milliseconds}, took


def straightness(x: list[float], y: list[float]) -> tuple[float, float, float]:
    """R², slope and intercept of the line through (x, y) by least squares."""
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.square(np.asarray(y) - (slope * np.asarray(x) + intercept)).sum()
    return float(1 - residual / np.square(y - np.mean(y)).sum()), float(slope), float(intercept)


def record_line(
    bench: Bench, name: str, series: dict[str, list[float]], tokens: list[float], note: str
) -> None:
    squared, slope, intercept = straightness(tokens, series["ms"])
    details = {"ms a token": slope, "ms of a pass over nothing": intercept}
    bench.record(name, Measured.of([squared]), note, details, {**series, "tokens": tokens})


def test_history(bench: Bench, product: Recommender, movielens: Dataset) -> None:
    lengths, count = (5, 50) if bench.quick else (5, 10, 20, 30, 40, 50), bench.of(8, 1)
    long = [case.history for case in movielens.split("loo").test if len(case.history) >= 50][:count]
    mine = product.ranker
    ranker = Ranker(mine.model, mine.wording, 50, mine.title_prior)

    def run(length: int) -> Callable[[], object]:
        histories = [history[-length:] for history in long]
        routing = product.router.route(histories)
        return lambda: ranker.score(routing, histories)

    series, _ = curve({length: run(length) for length in lengths}, bench.of(7))
    words = len(mine.wording.instruction)
    tokens = [float(len(long) * (words + length)) for length in lengths]
    record_line(bench, "10-history", series, tokens, f"catalogue mode, {len(long)} users a pass")


def test_candidates(bench: Bench, product: Recommender, viewers: People) -> None:
    counts = (10, 20) if bench.quick else (10, 20, 50, 100, 150, 200)
    history, w = viewers.histories[0], viewers.wording
    routing = product.router.route([history])
    drawn = np.random.default_rng(1).permutation(len(product.catalog))[None]

    def run(count: int) -> Callable[[], object]:
        return lambda: product.ranker.score(routing, [history], drawn[:, :count], mode="branch")

    series, _ = curve({count: run(count) for count in counts}, bench.of(5))
    packs = [
        pack_branches(w.instruction, [history], w.question, drawn[:, :count].tolist(), w.titles)
        for count in counts
    ]
    tokens = [float(pack.words.shape[1]) for pack in packs]
    record_line(bench, "10-candidates", series, tokens, "branch mode, one user")


def _model_of(product: Recommender, items: int) -> RankingModel:
    """The product's language model over a made-up catalogue of `items`."""
    generator = torch.Generator().manual_seed(1)
    features = ItemFeatures(
        torch.randn(items, 64, generator=generator),
        torch.randn(items, 64, generator=generator),
        torch.ones(items, dtype=torch.bool),
    )
    mine = product.ranker.model
    space = ItemSpace(features, mine._embedding.embedding_dim, embedding_norm=1.0).eval()
    return RankingModel(mine.decoder, {"ilora": space}, {}, mine.gated, mine._language_model[0]).eval()


def test_catalogue(bench: Bench, product: Recommender) -> None:
    sizes = (1_000, 10_000) if bench.quick else (1_000, 10_000, 100_000, 1_000_000)
    histories = [list(range(start, start + 10)) for start in range(0, 80, 10)]
    packed = pack_catalogue(product.ranker.wording.instruction, histories)
    gate = torch.full((len(histories), product.num_experts), 1 / product.num_experts)
    models = {size: _model_of(product, size) for size in sizes}

    def run(model: RankingModel) -> Callable[[], object]:
        @torch.inference_mode()
        def scores() -> object:
            return model.catalogue_scores(packed, "ilora", Mixture(weights=gate))

        return scores

    series, took = curve({size: run(model) for size, model in models.items()}, bench.of(5))
    largest, smallest = str(sizes[-1]), str(sizes[0])
    bench.record(
        "10-catalogue",
        took.ratio(largest, over=smallest),
        "8 users a pass, 1,000 to 1,000,000 items",
        series=series,
    )


def test_experts(bench: Bench, bare: Backbone) -> None:
    counts = (1, 32) if bench.quick else (1, 2, 4, 8, 16, 32)
    linears = seven_linears(bare)

    def run(count: int) -> Callable[[], object]:
        model, batch = ours(linears, count, rank=32), layer_batch(linears, count)
        mixture = {"gate_weights": batch.gate} if count > 1 else {}

        @torch.inference_mode()
        def forward() -> None:
            model(batch.x, batch.wide, **mixture)

        return forward

    series, took = curve({count: run(count) for count in counts}, bench.of(20))
    bench.record("10-experts", took.ratio("32", over="1"), "rank 32 for every K", series=series)


def test_routing(bench: Bench, viewers: People, product: Recommender, tmp_path: Path) -> None:
    counts = (1, 32) if bench.quick else (1, 4, 8, 16, 32)
    encoder = torch_twin(product.router).encoder  # type: ignore[arg-type]  # the product's is an OnnxRouter
    one = [viewers.histories[0]]

    def run(count: int) -> Callable[[], object]:
        path = tmp_path / f"{count}.onnx"
        export_router(encoder, Gate(encoder.shape.width, count) if count > 1 else None, path)
        router = OnnxRouter(path)
        return lambda: router.route(one)

    series, took = curve({count: run(count) for count in counts}, bench.of(400, 20))
    bench.record("10-routing", took.ratio("32", over="1"), "one thread, one user", series=series)
