"""Row 5: how much of the machine's floating-point rate a ranking pass reaches."""

import copy

import torch

from core.packing import pack_branches
from quant.backbone import Backbone
from quant.direct import answer_directly
from tests.bench.conftest import Bench, Side
from tests.bench.flops import attention_flops, bare_products, linear_flops, useful
from tests.bench.people import People
from tests.bench.ranking_opponents import asked_of, ours
from tests.bench.timing import in_turns


def test_a_pass_reaches_the_rate_of_its_products(
    bench: Bench, side: Side, bare: Backbone, viewers: People
) -> None:
    product = side.product
    people = viewers.first(bench.of(16, 1))
    asked = asked_of(people, "ilora", product.router.route(people.histories).gate)
    w = people.wording
    packed = pack_branches(w.instruction, people.histories, w.question, people.candidates.tolist(), w.titles)
    tokens, pairs = useful(packed)
    flops = linear_flops(bare, tokens) + attention_flops(bare, pairs)
    products = bare_products(bare, tokens)
    assert abs(products.flops / linear_flops(bare, tokens) - 1) < 1e-9, "as many products as the pass has"
    decoder, rows = copy.deepcopy(bare.model.get_decoder()), len(people.histories)
    answer_directly(decoder)
    read = torch.randn(rows, tokens // rows, bare.hidden_size).to(bare.compute_dtype) * 0.1

    @torch.inference_mode()
    def nothing_else() -> None:
        decoder(inputs_embeds=read, use_cache=False)

    runs = {
        "products": products.run,
        "pass": lambda: ours(product.ranker, asked),
        "bare": nothing_else,
    }
    took = in_turns(runs, bench.of(7))
    share = took.ratio("products", over="pass")
    seen = rows * (tokens // rows) * (tokens // rows + 1) // 2
    floor = linear_flops(bare, rows * (tokens // rows)) + attention_flops(bare, seen)
    dtype = str(bare.compute_dtype).removeprefix("torch.")
    emulated = "" if bare.compute_dtype == torch.bfloat16 else ": this processor multiplies no bf16"
    bench.record(
        f"5{side.suffix}",
        share,
        f"{dtype} on both sides{emulated}; {len(people.histories)} users in branch mode; padding, attention"
        " that is masked away, 4-bit decoding, adapters and heads count as nothing done",
        {
            "GFLOP/s of the pass": flops / took.median("pass") / 1e9,
            "GFLOP/s of the products": products.flops / took.median("products") / 1e9,
            "GFLOP a user": flops / 1e9 / rows,
            "% of peak, the bare backbone over as many tokens": (
                100 * floor / products.flops * took.median("products") / took.median("bare")
            ),
        },
        scale=100 * flops / products.flops,
    )
