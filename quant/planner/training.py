"""The fullest moment of a training step over a frozen backbone: every part in bytes, and their sum."""

from dataclasses import dataclass
from typing import Literal

from quant.planner.activations import (
    AdapterShape,
    Place,
    Rows,
    adapter_sizes,
    layer_input,
    layer_saved,
    passing_backward,
    passing_forward,
)
from quant.planner.architecture import Architecture
from quant.planner.weights import adamw_bytes, layer_bytes, paged_adamw_8bit_bytes, weights_bytes
from quant.precision import Quantization

GIB = 2**30
CUDA_CONTEXT = GIB // 2
"""What a CUDA context with its kernels and cuBLAS workspaces takes of a card: 0.3 to 0.6 GiB, by driver."""
CUDA_SLACK = 0.05
"""Share of what comes and goes that CUDA's allocator loses to rounding and fragments."""
CPU_PROCESS = 3 * GIB // 4
"""Python with torch, transformers and bitsandbytes loaded, before any tensor."""
CPU_THREAD = 16 * 2**20
"""Stack, packing buffers and allocator arena of one CPU thread."""


@dataclass(frozen=True)
class Holding:
    """How the backbone lies in memory.

    Attributes:
        quantization: of its linears.
        compute: bytes of a number in hidden states and products: 2 (bf16) or 4 (fp32).
        checkpointing: whether layers are computed again when going backward.
        shards: over how many cards FSDP shares it out; 1 is none.
        together: whether several processes train: DDP then holds the gradients a second time, in the buckets
            that it sends.
    """

    quantization: Quantization
    compute: int
    checkpointing: bool = False
    shards: int = 1
    together: bool = False

    @property
    def dequantized(self) -> int:
        """Bytes a number of a linear's weights while a product runs: 4-bit words become bf16, and where fp32
        computes, fp32 after that."""
        if self.quantization != "nf4":
            return 0
        return 2 if self.compute == 2 else 6


@dataclass(frozen=True)
class Scores:
    """What is compared with targets: float32 scores of `asked` states against `width` items or words, of
    which states `supervised` have a target."""

    asked: int
    supervised: int
    width: int

    @property
    def forward(self) -> int:
        """Products, and the same with biases or in float32."""
        return 4 * self.width * 2 * self.asked

    @property
    def backward(self) -> int:
        """The kept log-softmax, its gradient by loss and by softmax, and one of all that was asked."""
        return 4 * self.width * (self.asked + 2 * self.supervised)


@dataclass(frozen=True)
class Beside:
    """What lies beside the decoder and is not known to it: item vectors, encoder, heads.

    Attributes:
        trained: sizes of the parameters that train, in numbers.
        frozen: bytes that never change.
        saved: bytes kept between forward and backward.
        passing: bytes that live for a moment at the end of the backward pass, when all layers are done.
    """

    trained: tuple[int, ...] = ()
    frozen: int = 0
    saved: int = 0
    passing: int = 0


NOTHING = Beside()


@dataclass(frozen=True)
class MemoryPlan:
    """One training step's memory on one device, in bytes.

    Attributes:
        weights: the frozen backbone (this card's share of it), and what else is frozen.
        adapter: trained numbers, float32 masters.
        gradients: of the trained numbers, float32; twice where several processes train.
        optimizer: its states.
        activations: kept by the decoder between forward and backward.
        items: kept by the item tokens between forward and backward.
        logits: scores or logits at their fullest.
        dequantization: one linear's weights, 4-bit words written out for a product.
        passing: other tensors of the moment; under checkpointing the layer that is computed again.
        process: CUDA's context, or the interpreter with its libraries and threads.
        slack: what the allocator is expected to lose.
        peak: the fullest moment. Less than the sum of the parts, since logits and layers take turns.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    items: int
    logits: int
    dequantization: int
    passing: int
    process: int
    slack: int
    peak: int

    @property
    def tensors(self) -> int:
        """The peak in tensors alone: what an allocator's statistics would say."""
        return self.peak - self.process - self.slack

    @property
    def resident(self) -> int:
        """What lies there between steps, process included."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.process


def plan(
    model: Architecture,
    holding: Holding,
    adapter: AdapterShape,
    rows: Rows,
    scores: Scores,
    place: Place,
    beside: Beside = NOTHING,
    optimizer: Literal["adamw", "paged_adamw_8bit"] = "adamw",
    trains_decoder: bool = True,
    threads: int = 1,
) -> MemoryPlan:
    """Weights + adapter + gradients + optimizer + the larger of forward and backward.

    Forward is fullest at its end (everything kept, then logits) or in the last layer; backward at its
    beginning (logits' gradients), in the last layer (its dequantized weights and inner gradients), or at the
    very end, when the layers are done and the item tokens get theirs.

    Args:
        trains_decoder: False where nothing in or below the decoder trains, so that it keeps nothing.
    """
    width = holding.compute
    sizes = [*(adapter_sizes(model, adapter) if trains_decoder else []), *beside.trained]
    held = adapter_sizes(model, adapter) if not trains_decoder else []
    trained = sum(sizes)  # whole on every card, also where the backbone is not
    gradients = 4 * trained * (2 if holding.together else 1)
    layer = layer_saved(model, adapter, rows, width, place) if trains_decoder else 0
    boundary = layer_input(model, rows, width)
    kept_each = (boundary if holding.checkpointing else layer) if trains_decoder else 0
    # The decoder's last norm, the embeddings it was given, and where words and items were put together.
    ends = rows.positions * model.hidden * (4 + 2 * width) if trains_decoder else 2 * boundary
    activations = model.layers * kept_each + ends
    again = layer if holding.checkpointing else 0
    largest = max(x.weights for x in model.linears) * holding.dequantized
    forward = passing_forward(model, rows, width)
    backward = passing_backward(model, rows, width) if trains_decoder else 0
    weights = _weights(model, holding) + beside.frozen + 4 * sum(held)
    states = adamw_bytes(trained) if optimizer == "adamw" else paged_adamw_8bit_bytes(sizes)
    resident = weights + 4 * trained + gradients + states
    kept = activations + beside.saved
    moments = (
        kept + forward + largest,
        kept + scores.forward,
        kept + scores.backward,
        kept + again + backward + largest,
        beside.saved + ends + beside.passing,
        4 * trained,  # the optimizer's own: a square root of every second moment
    )
    fullest = max(moments)
    slack = int(CUDA_SLACK * fullest) if place == "cuda" else 0
    process = CUDA_CONTEXT if place == "cuda" else CPU_PROCESS + threads * CPU_THREAD
    return MemoryPlan(
        weights=weights,
        adapter=4 * trained,
        gradients=gradients,
        optimizer=states,
        activations=activations,
        items=beside.saved,
        logits=max(scores.forward, scores.backward),
        dequantization=largest,
        passing=max(forward, again + backward, beside.passing),
        process=process,
        slack=slack,
        peak=resident + fullest + process + slack,
    )


def _weights(model: Architecture, holding: Holding) -> int:
    """On one card. Shared out (`quant.sharding`) are the layers' words, those of two layers gathered for use;
    their scales, embeddings, norms and the head lie whole on every card."""
    whole = weights_bytes(model, holding.quantization, holding.compute)
    if holding.shards == 1:
        return whole
    layer = layer_bytes(model, holding.quantization, holding.compute)
    words = layer if holding.quantization != "nf4" else sum(-(-x.weights // 2) for x in model.linears)
    return whole - model.layers * words + model.layers * words // holding.shards + 2 * words
