"""How much memory training over a frozen backbone takes, by arithmetic: no weights, no network, no device.

    model = architecture_of(published_config("Qwen/Qwen3-8B"))
    plan(model, Holding("nf4", 2), AdapterShape(8, gated=True), Rows(8, 64), scores, "cuda").peak

`docs/memory.md` shows the arithmetic line by line, and what it was checked against.
"""

from quant.planner.activations import AdapterShape, Place, Rows, adapter_sizes, layer_saved
from quant.planner.architecture import Architecture, Linear, architecture_of
from quant.planner.published import PUBLISHED, published_config
from quant.planner.training import GIB, Beside, Holding, MemoryPlan, Scores, plan
from quant.planner.weights import nf4_bytes, weights_bytes

__all__ = [
    "GIB",
    "PUBLISHED",
    "AdapterShape",
    "Architecture",
    "Beside",
    "Holding",
    "Linear",
    "MemoryPlan",
    "Place",
    "Rows",
    "Scores",
    "adapter_sizes",
    "architecture_of",
    "layer_saved",
    "nf4_bytes",
    "plan",
    "published_config",
    "weights_bytes",
]
