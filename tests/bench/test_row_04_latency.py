"""Row 4: one person's ranking against the floor, a bare pass of the backbone over as many tokens."""

import torch

from core.packing import pack_branches, pack_catalogue
from tests.bench.conftest import Bench, Side
from tests.bench.people import People
from tests.bench.timing import in_turns


def test_one_recommendation_costs_one_bare_pass(bench: Bench, side: Side, viewers: People) -> None:
    product, bare = side.product, side.bare
    history, candidates = viewers.histories[0], viewers.candidates[:1]
    w = viewers.wording
    branched = pack_branches(w.instruction, [history], w.question, candidates.tolist(), w.titles)
    sizes = {
        "catalogue": pack_catalogue(w.instruction, [history]).words.shape[1],
        "branch": branched.words.shape[1],
    }
    decoder = bare.model.get_decoder()
    inputs = {
        mode: torch.randn(1, size, bare.hidden_size).to(bare.compute_dtype) * 0.1
        for mode, size in sizes.items()
    }

    @torch.inference_mode()
    def floor(mode: str) -> None:
        decoder(inputs_embeds=inputs[mode], use_cache=False)

    def second_stage() -> None:
        product.ranker.score(product.router.route([history]), [history], candidates, mode="branch")

    runs = {
        "floor catalogue": lambda: floor("catalogue"),
        "catalogue": lambda: product.recommend(history),
        "floor branch": lambda: floor("branch"),
        "branch": second_stage,
    }
    took = in_turns(runs, bench.of(25))
    for mode, size in sizes.items():
        bench.record(
            f"4-{mode}{side.suffix}",
            took.ratio(mode, over=f"floor {mode}"),
            f"{size} tokens, routing and reading the list included",
            {"ms, ours": 1000 * took.median(mode), "ms, floor": 1000 * took.median(f"floor {mode}")},
        )
