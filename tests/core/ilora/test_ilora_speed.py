"""Experts cost no more than the LoRA they replace: ratios of one run, in processor time (`make bench`)."""

import time
from collections.abc import Callable
from statistics import median

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from core.ilora import ILoraConfig

BATCH, LENGTH, WIDTH, OUT = 32, 25, 576, 1536  # a catalogue-mode batch through SmolLM2's up_proj


def _seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


@pytest.mark.bench
@pytest.mark.parametrize("backward", [False, True])
def test_four_experts_cost_no_more_than_stock_lora(backward):
    torch.set_num_threads(1)

    def linear() -> nn.Module:
        return nn.Sequential(nn.Linear(WIDTH, OUT, bias=False)).bfloat16()

    stock = get_peft_model(linear(), LoraConfig(r=8, target_modules=["0"]))
    ours = get_peft_model(linear(), ILoraConfig(r=8, num_experts=4, target_modules=["0"]))
    x = torch.randn(BATCH, LENGTH, WIDTH).bfloat16()
    upstream = torch.randn(BATCH, LENGTH, OUT).bfloat16()
    gate = torch.randn(BATCH, 4).softmax(-1)

    def step(model: PeftModel, **mixture: Tensor) -> None:
        with torch.set_grad_enabled(backward):
            y = model(x.detach().requires_grad_(backward), **mixture)
        if backward:
            y.backward(upstream)

    runs = {"stock": lambda: step(stock), "ours": lambda: step(ours, gate_weights=gate)}
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(40):  # in turns, so that whatever else runs on the machine is shared out fairly
        for name, run in runs.items():
            took[name].append(_seconds(run))
    ratio = median(took["ours"]) / median(took["stock"])
    print(f"\nK=4 against stock LoRA, {'forward+backward' if backward else 'forward'}: {ratio:.2f}")
    assert ratio < 1.0
