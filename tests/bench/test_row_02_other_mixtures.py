"""Row 2: the published form and X-LoRA against rank-space gating, at eight experts."""

from pathlib import Path

import torch

from quant.backbone import Backbone
from tests.bench import xlora_opponent
from tests.bench.conftest import Bench
from tests.bench.layer_opponents import PublishedLinears, layer_batch, ours, seven_linears, step
from tests.bench.memory import activation_bytes
from tests.bench.timing import Measured, in_turns

EXPERTS = 8
ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


def test_the_published_form_gives_the_same_answers_for_more(bench: Bench, bare: Backbone) -> None:
    linears = seven_linears(bare)
    batch = layer_batch(linears, EXPERTS)
    mine = ours(linears, EXPERTS)
    theirs = PublishedLinears(mine)
    gate = {"gate_weights": batch.gate}
    with torch.inference_mode():
        answers = zip(mine(batch.x, batch.wide, **gate), theirs(batch.x, batch.wide, batch.gate), strict=True)
        for one, other in answers:
            assert (one - other).abs().max() <= ROUNDING[one.dtype] * other.abs().max()
    runs = {
        "theirs": lambda: step(theirs, batch, gate=batch.gate),
        "ours": lambda: step(mine, batch, **gate),
    }
    took = in_turns(runs, bench.of(30, 2))
    bench.record("2-einsum", took.ratio("theirs", over="ours"), "both include the frozen product")

    x, wide = batch.x.detach().requires_grad_(True), batch.wide.detach().requires_grad_(True)
    kept = (
        activation_bytes(mine, lambda: mine(x, wide, **gate)),
        activation_bytes(theirs, lambda: theirs(x, wide, gate=batch.gate)),
    )
    bench.record(
        "2-einsum-bytes",
        Measured.of([kept[0] / kept[1]]),
        details={"activation MB, ours": kept[0] / 1e6, "activation MB, einsum": kept[1] / 1e6},
    )


def test_xlora_reads_everything_twice(bench: Bench, tmp_path: Path) -> None:
    model = xlora_opponent.shallow_model()
    mine = xlora_opponent.our_experts(model, EXPERTS)
    theirs = xlora_opponent.xlora(model, EXPERTS, tmp_path)
    words = xlora_opponent.some_words(people=bench.of(16, 2))
    gate = {"gate_weights": torch.randn(len(words), EXPERTS).softmax(-1).requires_grad_(True)}
    trained = {name: sum(p.numel() for p in m.parameters() if p.requires_grad) for name, m in
               (("ours", mine), ("theirs", theirs))}  # fmt: skip
    assert trained["theirs"] >= 0.9 * trained["ours"] > 0, "both train their experts"
    runs = {
        "theirs": lambda: xlora_opponent.training_step(theirs, words),
        "ours": lambda: xlora_opponent.training_step(mine, words, **gate),
    }
    took = in_turns(runs, bench.of(16))
    bench.record(
        "2-xlora",
        took.ratio("theirs", over="ours"),
        "float32, no vocabulary head on either side",
        {f"parameters trained, {name}": float(count) for name, count in trained.items()},
    )
    kept = (
        activation_bytes(mine, lambda: xlora_opponent.training_loss(mine, words, **gate)),
        activation_bytes(theirs, lambda: xlora_opponent.training_loss(theirs, words)),
    )
    bench.record(
        "2-xlora-bytes",
        Measured.of([kept[0] / kept[1]]),
        details={"activation MB, ours": kept[0] / 1e6, "activation MB, X-LoRA": kept[1] / 1e6},
    )
