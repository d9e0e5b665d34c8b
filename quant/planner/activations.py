"""What autograd keeps between forward and backward, per decoder layer, and what passes through beside it.

Legend: T = B x S positions of a micro-batch, H hidden width, Q = heads x head_dim, KV = kv_heads x head_dim,
I the MLP's width, R the adapter's rank, e bytes of a number in the compute dtype (bf16 2, fp32 4). Frozen
weights want no gradient, so a frozen linear keeps nothing, and a frozen norm keeps its input only.

One layer of a Llama keeps

    2 norms          2 T (4H + 4)            their float32 input and 1/rms
    q k v            T H e                   one input for three adapters
    attention        T (2Q + 2KV) e + 4 B S heads      q, k, v and the answer; log-sum-exp
    o                                        its input is attention's answer: counted already
    gate up          T H e                   one input for two adapters
    act, product     3 T I e                 gate's output (for the activation), its activation, up's output
    down             T I e                   its input
    each adapter     T R e x 2               A x before and after the gate; once without a gate (K = 1)
                     R (in + out) e          bf16: A and B, cast for this pass

Variations: with a mask of its own keys and values are repeated for every head (KV -> Q), and the mask is kept
as numbers by every layer (B S S e). Adapter dropout keeps a dropped copy of each adapted linear's input, and
its mask: T in (e + 1) on CUDA, T in 2e on the CPU. Norms on queries and keys keep those in float32. A fused
qkv is kept whole where values are a view of it. Step-by-step attention keeps B heads S S probabilities, but
not its answer, which is then o's input alone; so does attention by products (`Rows.by_products`), whose keys
and values are never repeated, and whose mask is kept once for all layers.
"""

from dataclasses import dataclass
from typing import Literal

from quant.planner.architecture import CLOSING, Architecture, Linear

Place = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Rows:
    """A micro-batch as the decoder sees it.

    Attributes:
        rows: B.
        length: S.
        masked: whether attention is given a mask of its own (branches, rows of different lengths).
        by_products: whether attention keeps its probabilities, as short bf16 rows do that train on a CPU.
    """

    rows: int
    length: int
    masked: bool = False
    by_products: bool = False

    @property
    def positions(self) -> int:
        """T."""
        return self.rows * self.length


@dataclass(frozen=True)
class AdapterShape:
    """An iLoRA or LoRA adapter on a decoder.

    Attributes:
        rank: R.
        gated: whether it has experts (K > 1).
        dropout: whether its inputs are dropped in training.
        targets: names of the adapted linears; None is all.
    """

    rank: int
    gated: bool
    dropout: bool = False
    targets: frozenset[str] | None = None

    def on(self, model: Architecture) -> tuple[Linear, ...]:
        """The adapted linears of one layer."""
        return tuple(x for x in model.linears if self.targets is None or x.name in self.targets)


def adapter_sizes(model: Architecture, adapter: AdapterShape) -> list[int]:
    """Numbers of every A [R, in] and B [out, R] of the whole model."""
    one = [adapter.rank * n for x in adapter.on(model) for n in (x.inputs, x.outputs)]
    return one * model.layers


def layer_saved(model: Architecture, adapter: AdapterShape, rows: Rows, width: int, place: Place) -> int:
    """Bytes that one layer keeps for its backward pass (see the module's table).

    Args:
        width: e.
    """
    return (
        _norms(model, rows)
        + _adapters(model, adapter, rows, width, place)
        + _attention(model, rows, width)
        + _mlp(model, rows, width)
    )


def layer_input(model: Architecture, rows: Rows, width: int) -> int:
    """T H e: all that a checkpointed layer keeps; the rest is computed again, one layer at a time."""
    return rows.positions * model.hidden * width


def _norms(model: Architecture, rows: Rows) -> int:
    t = rows.positions
    kept = model.norms * t * (4 * model.hidden + 4)
    if model.head_norms:
        kept += t * (model.heads + model.kv_heads) * (4 * model.head_dim + 4)
    return kept


def _adapters(model: Architecture, adapter: AdapterShape, rows: Rows, width: int, place: Place) -> int:
    t, adapted = rows.positions, adapter.on(model)
    again = model.eager or _fused(model) or rows.by_products
    inner = t * adapter.rank * width * (2 if adapter.gated else 1) * len(adapted)
    casts = 0 if width == 4 else sum(adapter.rank * (x.inputs + x.outputs) * width for x in adapted)
    if adapter.dropout:
        mask = 1 if place == "cuda" else width
        inputs = sum(t * x.inputs * (width + mask) for x in adapted)
    else:
        inputs = t * width * sum(_distinct_inputs(adapted, again))
    return inner + casts + inputs


def _distinct_inputs(adapted: tuple[Linear, ...], again: bool) -> list[int]:
    """Widths of the tensors that adapters read, each once.

    Attention's answer is kept by attention itself, but not (`again`) where it is computed step by step, and
    in another order of memory than o reads it where values are a view of a fused qkv.
    """
    shared = {x.block: x.inputs for x in adapted if x.name not in CLOSING}
    own = [x.inputs for x in adapted if x.name in CLOSING and (again or "attn" not in x.block)]
    return [*shared.values(), *own]


def _fused(model: Architecture) -> bool:
    """Whether one linear gives queries, keys and values."""
    width = (model.heads + 2 * model.kv_heads) * model.head_dim
    return any("attn" in x.block and x.outputs == width for x in model.linears)


def _attention(model: Architecture, rows: Rows, width: int) -> int:
    t, s = rows.positions, rows.length
    q, kv = model.heads * model.head_dim, model.kv_heads * model.head_dim
    repeated = (rows.masked or model.eager) and q != kv
    keys = values = q if repeated else kv
    if not repeated and _fused(model):
        values = q + 2 * kv  # a view of the fused qkv keeps all of it
    if (
        rows.by_products
    ):  # copies of queries, keys and values; probabilities in fp32 and as they are multiplied
        return t * (q + 2 * kv) * width + rows.rows * model.heads * s * s * (4 + width)
    kept = t * (q + keys + values) * width
    if model.eager:
        square = rows.rows * model.heads * s * s
        kept += square * (4 + (width if width < 4 else 0) + (width if model.capped else 0))
        return kept
    kept += t * q * width + 4 * t * model.heads
    if rows.masked:
        kept += rows.rows * s * s * width
    return kept


def _mlp(model: Architecture, rows: Rows, width: int) -> int:
    gated = sum(x.outputs for x in model.linears if x.name not in CLOSING and "attn" not in x.block)
    # Gate and up as they come, and the activation; the product is the last linear's input, counted with it.
    return rows.positions * width * (gated + (model.intermediate if gated > model.intermediate else 0))


def passing_forward(model: Architecture, rows: Rows, width: int) -> int:
    """The widest linear's answer, before and after the adapter's part is added."""
    return 2 * rows.positions * max(x.outputs for x in model.linears) * width


def passing_backward(model: Architecture, rows: Rows, width: int) -> int:
    """In the MLP's backward pass: the gradient of its inner width by two ways (weights and adapter), that of
    the hidden state, and the residual's beside it."""
    return 2 * rows.positions * (max(x.inputs for x in model.linears) + model.hidden) * width
