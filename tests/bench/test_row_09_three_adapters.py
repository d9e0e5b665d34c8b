"""Row 9: base, LoRA and iLoRA on one history, in one pass and in three."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from core.ilora import BARE
from core.ranker import Ask
from core.recommender import Recommender
from quant.backbone import Backbone
from tests.bench.conftest import Bench
from tests.bench.people import People
from tests.bench.timing import in_turns

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1.0}
"""Of summed log-likelihoods, 7 and more."""


def test_a_comparison(bench: Bench, product: Recommender, bare: Backbone, viewers: People) -> None:
    """As the page asks: the untrained model reads titles, the adapters read item tokens."""
    history, candidates = viewers.histories[0], viewers.candidates[:1]
    routing = product.router.route([history])
    asks = [Ask(name, "title" if name == "base" else "catalogue", candidates) for name in product.adapters]
    assert len(asks) == 3

    def apart() -> list[Tensor]:
        score = product.ranker.score
        return [score(routing, [history], ask.candidates, ask.adapter, mode=ask.mode) for ask in asks]

    def together() -> list[Tensor]:
        return product.ranker.score_together(routing, history, asks)

    def base() -> Tensor:
        [ask] = (ask for ask in asks if ask.adapter == "base")
        return product.ranker.score(routing, [history], ask.candidates, "base", mode="title")

    alone = {"ms, base alone": base}
    _check_and_record(bench, bare, "9", together, apart, "what the page's comparison asks", alone)


def test_three_rows_of_one_batch(bench: Bench, product: Recommender, bare: Backbone, viewers: People) -> None:
    """The same tokens for all three, as PEFT's mixed batches have them."""
    model = product.ranker.model
    names = [BARE, "lora", "ilora"]
    x = torch.randn(1, 20, bare.hidden_size).to(bare.compute_dtype) * 0.1
    gate = torch.from_numpy(product.router.route(viewers.histories[:1]).gate)

    @torch.inference_mode()
    def together() -> list[Tensor]:
        rows = x.expand(3, -1, -1).contiguous()
        mixtures = gate.expand(3, -1)
        out = model.decoder(inputs_embeds=rows, use_cache=False, adapter_names=names, gate_weights=mixtures)
        return list(out.last_hidden_state.unsqueeze(1))

    @torch.inference_mode()
    def apart() -> list[Tensor]:
        answers = []
        for name in names:
            with model._only("base" if name == BARE else name):
                mixture = {"gate_weights": gate} if name == "ilora" else {}
                out = model.decoder(inputs_embeds=x, use_cache=False, **mixture)
            answers.append(out.last_hidden_state)
        return answers

    _check_and_record(bench, bare, "9-rows", together, apart, f"{x.shape[1]} tokens each")


def _check_and_record(
    bench: Bench,
    bare: Backbone,
    name: str,
    together: Callable[[], list[Tensor]],
    apart: Callable[[], list[Tensor]],
    note: str,
    parts: Mapping[str, Callable[[], object]] | None = None,
) -> None:
    """`parts` are timed too, and kept as details of the row."""
    for one, other in zip(together(), apart(), strict=True):
        assert (one - other).abs().max() <= TOLERANCE[bare.compute_dtype]
    parts = parts or {}
    took = in_turns({"apart": apart, "together": together, **parts}, bench.of(15))
    details = {"ms, together": 1000 * took.median("together"), "ms, apart": 1000 * took.median("apart")}
    details |= {part: 1000 * took.median(part) for part in parts}
    bench.record(name, took.ratio("together", over="apart"), note, details)
