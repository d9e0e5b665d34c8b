"""Row 6: training sequences per second and peak memory, against stock HF Trainer and PEFT LoRA."""

from pathlib import Path

import torch
from transformers import Trainer

from core.training.rows import IGNORED
from quant.backbone import Backbone, load_backbone
from tests.bench.backbone_file import backbone_file
from tests.bench.conftest import Bench
from tests.bench.flops import head_flops, linear_flops
from tests.bench.memory import run_module
from tests.bench.people import People
from tests.bench.timing import InTurns, Measured
from tests.bench.training_opponents import BATCH, StepClock, our_trainer, stock_examples, stock_trainer

TOLERANCE = 0.02
"""Of a loss near 3: bf16 where that is what computes."""
SIDES = ("stock", "branch", "text")


def first_loss(trainer: Trainer) -> float:
    """Of the first batch, before anything was learned."""
    rows = [trainer.train_dataset[index] for index in range(BATCH)]
    trainer.model.eval()
    with torch.no_grad():
        return float(trainer.model(**trainer.data_collator(rows))["loss"])


def _backbone() -> Backbone:
    """Each side has one of its own: an adapter stays where it was put."""
    return load_backbone(backbone_file(), "nf4")


def arithmetic_over_needed(backbone: Backbone, chosen: People) -> float:
    """The stock trainer's arithmetic over what text mode cannot leave out: no padding, and the vocabulary's
    head for answers only. Forwards and backwards cost alike where the weights are frozen."""
    done = needed = 0.0
    examples = stock_examples(chosen)
    for start in range(0, len(examples), BATCH):
        batch = examples[start : start + BATCH]
        lengths = [len(example["labels"]) for example in batch]
        answers = sum(label != IGNORED for example in batch for label in example["labels"])
        padded = len(batch) * max(lengths)
        done += linear_flops(backbone, padded) + head_flops(backbone, padded)
        needed += linear_flops(backbone, sum(lengths)) + head_flops(backbone, answers)
    return done / needed


def test_training(bench: Bench, viewers: People, tmp_path: Path) -> None:
    steps = bench.of(2, 1)
    chosen = viewers.first(BATCH * steps)
    could = {"text": {"x arithmetic that could be left out": arithmetic_over_needed(_backbone(), chosen)}}
    torch.manual_seed(0)
    made: dict[str, tuple[Trainer, StepClock]] = {
        "stock": stock_trainer(_backbone(), chosen, tmp_path / "stock", steps),
        "branch": our_trainer(_backbone(), chosen, "branch", tmp_path / "branch", steps),
        "text": our_trainer(_backbone(), chosen, "text", tmp_path / "text", steps),
    }
    # Fresh adapters change nothing: over the same tokens both must find the bare model's loss.
    losses = [first_loss(made[side][0]) for side in ("text", "stock")]
    assert abs(losses[0] - losses[1]) < TOLERANCE, losses
    took: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(bench.of(4)):
        for side, (trainer, clock) in made.items():
            trainer.train()
            if number or bench.quick:  # the first round warms up
                took[side].append(clock.seconds)
    turns = InTurns(took)
    for side in ("branch", "text"):
        details = {
            "sequences/s, ours": len(chosen.histories) / turns.median(side),
            "sequences/s, stock": len(chosen.histories) / turns.median("stock"),
        }
        details |= could.get(side, {})
        bench.record(f"6-{side}", turns.ratio("stock", over=side), f"batch of {BATCH}, r 8", details)


def test_memory_of_training(bench: Bench) -> None:
    steps = bench.of(2, 1)
    held = {
        side: run_module("tests.bench.training_opponents", side, str(BATCH * steps), str(steps)).resident
        for side in SIDES
    }
    for side in ("branch", "text"):
        bench.record(
            f"6-{side}-memory",
            Measured.of([held[side] / held["stock"]]),
            "peak resident memory of a process that does nothing else",
            {"GB, ours": held[side] / 1e9, "GB, stock": held["stock"] / 1e9},
        )
