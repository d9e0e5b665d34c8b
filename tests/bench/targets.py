"""What is measured, against what, and what it should come to: the rows of the table, in its order."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes:
        measured: ours, in a few words.
        against: the opponent, in the same run; "-" where the number stands alone.
        target: where `value` should end; None for rows that only inform.
        better: which side of the target is good.
        unit: of value and target. "x time" is ours over theirs, "x speed" theirs over ours.
    """

    measured: str
    against: str
    target: float | None
    better: Literal["lower", "higher"]
    unit: str

    def reached(self, value: float) -> bool | None:
        """None without a target."""
        if self.target is None:
            return None
        return value <= self.target if self.better == "lower" else value >= self.target


def _ratio(measured: str, against: str, target: float | None) -> Target:
    return Target(measured, against, target, "higher", "x speed")


_LAYER = "iLoRA r 8 K 4, seven linears of a layer"
_STEP = "iLoRA r 8 K 8, training step"
_TEXT = "rank 20 candidates, text history"
_ITEMS = "rank 20 candidates, branch mode"
_SEPARATE = "20 separate sequences, same tokens"
_KV = "prefix KV cache repeated 20 times, same tokens"
_NEWLINE = "HF generate, 20 listed candidates, to the newline"
_PUBLISHED = "HF generate, 20 listed candidates, 64 tokens"

TARGETS: dict[str, Target] = {
    "1-forward": Target(f"{_LAYER}, forward", "stock PEFT LoRA", 1.03, "lower", "x time"),
    "1-backward": Target(f"{_LAYER}, forward and backward", "stock PEFT LoRA", 1.03, "lower", "x time"),
    "1-memory": Target(f"{_LAYER}, peak of a step", "stock PEFT LoRA", 1.01, "lower", "x memory"),
    "2-einsum": _ratio(f"{_STEP}, seven linears of a layer", "the published einsum form", 3),
    "2-einsum-bytes": Target(_STEP, "activations of the einsum form", None, "lower", "x memory"),
    "2-xlora": _ratio(f"{_STEP}, four layers", "X-LoRA from PEFT, 8 experts of rank 1", 3),
    "2-xlora-bytes": Target(_STEP, "activations of X-LoRA", None, "lower", "x memory"),
    "3-separate": _ratio(_TEXT, _SEPARATE, 8),
    "3-separate-items": _ratio(_ITEMS, _SEPARATE, 8),
    "3-kv": _ratio(_TEXT, _KV, 2),
    "3-kv-items": _ratio(_ITEMS, _KV, 2),
    "3-newline": _ratio(_TEXT, _NEWLINE, 2),
    "3-newline-items": _ratio(_ITEMS, _NEWLINE, 2),
    "3-64": _ratio(_TEXT, _PUBLISHED, 5),
    "3-64-items": _ratio(_ITEMS, _PUBLISHED, 5),
    "3-separate-lastfm": _ratio(f"{_TEXT}, LastFM", _SEPARATE, 8),
    "3-kv-lastfm": _ratio(f"{_TEXT}, LastFM", _KV, 2),
    "3-newline-lastfm": _ratio(f"{_TEXT}, LastFM", _NEWLINE, 2),
    "3-64-lastfm": _ratio(f"{_TEXT}, LastFM", _PUBLISHED, 5),
    "3b-branch": _ratio("rank the whole catalogue, catalogue mode", _ITEMS, 8),
    "3b-text": _ratio("rank the whole catalogue, catalogue mode", _TEXT, 8),
    "3b-64": _ratio("rank the whole catalogue, catalogue mode", _PUBLISHED, 25),
    "4-catalogue": Target(
        "one recommendation, catalogue mode", "bare backbone, same tokens", 1.15, "lower", "x time"
    ),
    "4-branch": Target(
        "20 candidates of one user, branch mode", "bare backbone, same tokens", 1.15, "lower", "x time"
    ),
    "4-catalogue-cached": Target(
        'one recommendation, catalogue mode, weights="cached"',
        "bare backbone, same tokens and weights",
        1.15,
        "lower",
        "x time",
    ),
    "4-branch-cached": Target(
        '20 candidates of one user, branch mode, weights="cached"',
        "bare backbone, same tokens and weights",
        1.15,
        "lower",
        "x time",
    ),
    "5": Target("floating-point rate of a ranking pass", "matmuls of its shapes", 70, "higher", "% of peak"),
    "5-cached": Target(
        'floating-point rate of a ranking pass, weights="cached"',
        "matmuls of its shapes",
        70,
        "higher",
        "% of peak",
    ),
    "6-branch": _ratio(
        "training in branch mode, sequences", "HF Trainer, PEFT LoRA, full logits, padding", 2
    ),
    "6-text": _ratio(
        "training in generate mode, sequences", "HF Trainer, PEFT LoRA, full logits, padding", 2
    ),
    "6-branch-memory": Target("peak memory of branch mode", "that Trainer", 1, "lower", "x memory"),
    "6-text-memory": Target("peak memory of generate mode", "that Trainer", 1, "lower", "x memory"),
    "7": _ratio("route one user, ONNX, one thread", "torch eager encoder and gate", 5),
    "7-p50": Target("route one user, ONNX, one thread, p50", "-", 0.3, "lower", "ms"),
    "8": Target("route in bulk, exact top 20 included", "-", 15_000, "higher", "users/s"),
    "9": Target("compare base, LoRA, iLoRA on one history", "three separate passes", 0.75, "lower", "x time"),
    "9-rows": Target(
        "three adapters, one batch of three equal rows", "three separate passes", 0.75, "lower", "x time"
    ),
    "10-history": Target("R² of time against packed tokens, history 5 to 50", "-", 0.95, "higher", "R²"),
    "10-candidates": Target(
        "R² of time against packed tokens, candidates 10 to 200", "-", 0.95, "higher", "R²"
    ),
    "10-catalogue": Target("scoring 1M items on top of a pass over 1k", "-", None, "lower", "x time"),
    "10-experts": Target("iLoRA layer, K 32 over K 1, r 32", "-", 1.1, "lower", "x time"),
    "10-routing": Target("routing one user, K 32 over K 1", "-", 1.1, "lower", "x time"),
    "11": Target("import and load to the first recommendation, warm cache", "-", 6, "lower", "s"),
    "11-memory": Target("peak resident memory of that process", "-", 1.2, "lower", "GB"),
}
