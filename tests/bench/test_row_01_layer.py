"""Row 1: experts cost what the LoRA they replace costs, in time and in memory."""

import torch

from quant.backbone import Backbone
from tests.bench.conftest import Bench
from tests.bench.layer_opponents import layer_batch, ours, seven_linears, step, stock_lora
from tests.bench.memory import activation_bytes, peak_bytes
from tests.bench.timing import Measured, in_turns

EXPERTS = 4


def test_experts_cost_what_stock_lora_costs(bench: Bench, bare: Backbone) -> None:
    linears = seven_linears(bare)
    batch = layer_batch(linears, EXPERTS)
    mine, theirs = ours(linears, EXPERTS), stock_lora(linears)
    gate = {"gate_weights": batch.gate}

    def forward(model: torch.nn.Module, **mixture: torch.Tensor) -> None:
        with torch.inference_mode():
            model(batch.x, batch.wide, **mixture)

    note = f"{batch.x.dtype}, {batch.x.shape[0]}x{batch.x.shape[1]} tokens; the gate is trained too"
    rounds = bench.of(60, 2)
    took = in_turns({"theirs": lambda: forward(theirs), "ours": lambda: forward(mine, **gate)}, rounds)
    bench.record("1-forward", took.ratio("ours", over="theirs"), note)
    took = in_turns(
        {"theirs": lambda: step(theirs, batch), "ours": lambda: step(mine, batch, **gate)}, rounds
    )
    bench.record("1-backward", took.ratio("ours", over="theirs"), note)

    def kept(model: torch.nn.Module, **mixture: torch.Tensor) -> int:
        x, wide = batch.x.detach().requires_grad_(True), batch.wide.detach().requires_grad_(True)
        return activation_bytes(model, lambda: model(x, wide, **mixture))

    peaks = peak_bytes(lambda: step(mine, batch, **gate)), peak_bytes(lambda: step(theirs, batch))
    assert min(peaks) > batch.x.nbytes, "the allocator was not watched"
    bench.record(
        "1-memory",
        Measured.of([peaks[0] / peaks[1]]),
        "peak of torch's allocator over a step",
        {
            "peak MB, ours": peaks[0] / 1e6,
            "peak MB, stock LoRA": peaks[1] / 1e6,
            "activation MB, ours": kept(mine, **gate) / 1e6,
            "activation MB, stock LoRA": kept(theirs) / 1e6,
        },
    )
