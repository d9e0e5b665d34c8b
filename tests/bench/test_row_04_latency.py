"""Row 4: one person's ranking against the floor, a bare pass of the backbone over as many tokens."""

import copy

import torch
from torch import nn

from core.ilora import ILoraLinear
from core.packing import pack_branches, pack_catalogue
from quant.direct import answer_directly
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
    stock = bare.model.get_decoder()
    decoder = copy.deepcopy(stock)
    answer_directly(decoder)  # the floor is our own backbone, not a slower one
    inputs = {
        mode: torch.randn(1, size, bare.hidden_size).to(bare.compute_dtype) * 0.1
        for mode, size in sizes.items()
    }

    @torch.inference_mode()
    def floor(mode: str, decoder: nn.Module = decoder) -> None:
        decoder(inputs_embeds=inputs[mode], use_cache=False)

    def second_stage() -> None:
        product.ranker.score(product.router.route([history]), [history], candidates, mode="branch")

    adapted = [module for module in product.ranker.model.modules() if isinstance(module, ILoraLinear)]
    matrices = [(m.experts_A["ilora"].detach(), m.experts_B["ilora"].detach()) for m in adapted]
    read = {a.shape[1]: torch.randn(sizes["catalogue"], a.shape[1]) for a, _ in matrices}
    answers = {b.shape[0]: torch.randn(sizes["catalogue"], b.shape[0]) for _, b in matrices}

    @torch.inference_mode()
    def adapter_products() -> None:
        for a, b in matrices:
            answers[b.shape[0]].addmm_(read[a.shape[1]] @ a.t(), b.t())

    runs = {
        "adapter": adapter_products,
        "floor catalogue": lambda: floor("catalogue"),
        "catalogue": lambda: product.recommend(history),
        "floor branch": lambda: floor("branch"),
        "branch": second_stage,
        "stock": lambda: floor("catalogue", stock),
    }
    took = in_turns(runs, bench.of(25))
    for mode, size in sizes.items():
        ours, floor_ms = 1000 * took.median(mode), 1000 * took.median(f"floor {mode}")
        details = {"ms, ours": ours, "ms, floor": floor_ms}
        if mode == "catalogue":
            details["ms, the adapter's two products a linear alone"] = 1000 * took.median("adapter")
            details["ms, floor with bitsandbytes' own linears"] = 1000 * took.median("stock")
        bench.record(
            f"4-{mode}{side.suffix}",
            took.ratio(mode, over=f"floor {mode}"),
            f"{size} tokens, routing and reading the list included",
            details,
        )
