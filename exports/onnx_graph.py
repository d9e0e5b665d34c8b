"""Encoder, gate and retrieval written as one ONNX graph, and the encoder read back. Needs torch.

Node by node and not traced: traced from the module, nearly twice as many nodes run, many to compute shapes,
and the last block is computed at every position where only the last one is read. Weights keep their names
and their layout. What the graph must equal is `core.encoder.TorchRouter`.

Shapes: B batch, L history length, T = L + 1 with the start token, D width, H heads, K experts, N items.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from core.encoder import EncoderShape, SASRec
from core.gate import Gate

OPSET = 23  # the first with Attention as one operator; ONNX Runtime has run it since 1.23
IR_VERSION = 11
HIDDEN = np.float32(-1e9)
"""Added to the score of a key that may not be seen."""


class _Graph:
    """Nodes in the order in which they run; a value is known by its name."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, NDArray[np.generic]] = {
            name: tensor.detach().cpu().float().numpy() for name, tensor in weights.items()
        }

    def const(self, value: NDArray[np.generic] | np.generic) -> str:
        name = f"const_{len(self.initializers)}"
        self.initializers[name] = np.asarray(value)
        return name

    def ints(self, *values: int) -> str:
        """A one-dimensional int64 constant."""
        return self.const(np.array(values, dtype=np.int64))

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """One node with one output, called `name`."""
        return self.split(kind, *inputs, outputs=[name or f"value_{len(self.nodes)}"], **attributes)[0]

    def split(self, kind: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> list[str]:
        """One node with several outputs."""
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), **attributes))
        return list(outputs)

    def norm(self, x: str, of: str, name: str | None = None) -> str:
        weights = f"{of}.weight", f"{of}.bias"
        return self.add("LayerNormalization", x, *weights, name=name, axis=-1, epsilon=nn.LayerNorm(1).eps)

    def linear(self, x: str, name: str, first: int = 0, last: int | None = None) -> str:
        """x [..., D] through the rows `first` to `last` of a linear's weight: x [..., last - first].

        ONNX Runtime folds what is done to weights alone when it loads.
        """
        weight, bias = f"{name}.weight", f"{name}.bias"
        rows = len(self.initializers[weight])
        if (first, last or rows) != (0, rows):
            ends = self.ints(first), self.ints(last or rows), self.ints(0)
            weight, bias = self.add("Slice", weight, *ends), self.add("Slice", bias, *ends)
        product = self.add("MatMul", x, self.add("Transpose", weight, perm=[1, 0]))
        return self.add("Add", product, bias)


def write_graph(
    encoder: SASRec,
    gate: Gate | None,
    path: Path,
    retrieve: int,
    input_name: str,
    output_names: Sequence[str],
    metadata: dict[str, str],
) -> None:
    """Write history [B, L] int64 -> sequence [B, D], gate [B, K], scores [B, N], retrieved [B, retrieve].

    In fp32 whatever the modules' precision; the graph is checked before it is written.
    """
    weights = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    if gate is not None:
        weights |= {f"gate.{name}": tensor for name, tensor in gate.state_dict().items()}
    graph = _Graph(weights)
    shape = encoder.shape
    sequence, mixture, scores, retrieved = output_names
    graph.norm(_last_state(graph, shape, input_name), "encoder.norm", name=sequence)
    experts = _mixture(graph, gate, sequence, mixture)
    # The scores are sliced, not the item vectors, which would be held twice. The last one is padding.
    products = graph.add("Gemm", sequence, "encoder.items.weight", transB=1)  # (B, N + 1)
    graph.add("Slice", products, graph.ints(0), graph.ints(shape.num_items), graph.ints(1), name=scores)
    graph.split("TopK", scores, graph.ints(retrieve), outputs=["best", retrieved], axis=-1)

    floats, ints = TensorProto.FLOAT, TensorProto.INT64
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "router",
            [helper.make_tensor_value_info(input_name, ints, ["batch", "length"])],
            [
                helper.make_tensor_value_info(sequence, floats, ["batch", shape.width]),
                helper.make_tensor_value_info(mixture, floats, ["batch", *experts]),
                helper.make_tensor_value_info(scores, floats, ["batch", shape.num_items]),
                helper.make_tensor_value_info(retrieved, ints, ["batch", retrieve]),
            ],
            [numpy_helper.from_array(value, name) for name, value in graph.initializers.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ilora",
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def _last_state(graph: _Graph, shape: EncoderShape, history: str) -> str:
    """The state after each row's last item, before the last norm: [B, D]."""
    zero, one = graph.ints(0), graph.ints(1)
    items = graph.add("Gather", "encoder.items.weight", history)  # (B, L, D)
    items = graph.add("Mul", items, graph.const(np.float32(shape.width**0.5)))
    tokens = graph.add("Pad", items, graph.ints(0, 1, 0, 0, 0, 0))  # (B, T, D), nothing where the start goes
    size = graph.add("Add", graph.add("Shape", history, start=1, end=2), one)  # T
    # The start token stands at the first position of every history: it is added to that position's vector.
    start = graph.add("Unsqueeze", "encoder.start", zero)
    start = graph.add("Pad", start, graph.ints(0, 0, shape.max_length, 0))
    positions = graph.add("Add", start, "encoder.positions.weight")
    x = graph.add("Add", tokens, graph.add("Slice", positions, zero, size, zero))  # (B, T, D)

    real = graph.add("Less", history, graph.const(np.int64(shape.num_items)))
    count = graph.add("ReduceSum", graph.add("Cast", real, to=TensorProto.INT64), one, keepdims=1)  # (B, 1)
    length = shape.max_length + 1
    future = graph.const(np.triu(np.full((length, length), HIDDEN), 1))
    seen = graph.add("Slice", future, zero, size, one)  # (max_length + 1, T)
    seen = graph.add("Unsqueeze", graph.add("Gather", seen, count), one)  # (B, 1, 1, T), by the last item

    for number in range(shape.layers):
        block = f"encoder.blocks.{number}"
        normed = graph.norm(x, f"{block}.norm_attention")
        heads: dict[str, Any] = {"q_num_heads": shape.heads, "kv_num_heads": shape.heads}
        names = [f"{block}.{part}" for part in ("query", "key", "value")]
        qkv = f"{block}.attention.qkv"
        if number + 1 < shape.layers:
            graph.split("Split", graph.linear(normed, qkv), outputs=names, axis=-1, num_outputs=3)
            attended = graph.add("Attention", *names, is_causal=1, **heads)  # (B, T, D)
        else:  # of which only the last item's position is read
            both = graph.linear(normed, qkv, first=shape.width)
            graph.split("Split", both, outputs=names[1:], axis=-1, num_outputs=2)
            x = graph.add("GatherND", x, count, batch_dims=1)  # (B, D)
            normed = graph.add("GatherND", normed, count, batch_dims=1)
            query = graph.add("Unsqueeze", graph.linear(normed, qkv, last=shape.width), one)
            attended = graph.add("Attention", query, *names[1:], seen, **heads)  # (B, 1, D)
            attended = graph.add("Squeeze", attended, one)
        x = graph.add("Add", x, graph.linear(attended, f"{block}.attention.out"))
        wide = graph.add("Gelu", graph.linear(graph.norm(x, f"{block}.norm_feed"), f"{block}.feed.0"))
        x = graph.add("Add", x, graph.linear(wide, f"{block}.feed.3"))
    return x


def _mixture(graph: _Graph, gate: Gate | None, sequence: str, name: str) -> list[int]:
    """The gate's weights as the value `name`; its sizes behind the batch. Without a gate: ones, K = 1."""
    if gate is None:
        first = graph.add("Slice", sequence, graph.ints(0), graph.ints(1), graph.ints(1))  # (B, 1)
        graph.add("Softmax", first, name=name, axis=-1)
        return [1]
    if isinstance(gate.network, nn.Linear):
        logits = graph.linear(sequence, "gate.network")
    else:
        hidden = graph.add("Gelu", graph.linear(sequence, "gate.network.0"))
        logits = graph.linear(hidden, "gate.network.2")
    if gate.temperature != 1.0:
        logits = graph.add("Div", logits, graph.const(np.float32(gate.temperature)))
    sizes = [gate.num_experts]
    if gate.layers > 1:
        sizes = [gate.layers, gate.num_experts]
        logits = graph.add("Reshape", logits, graph.ints(0, *sizes))
    graph.add("Softmax", logits, name=name, axis=-1)
    return sizes


def read_encoder(path: Path, shape: EncoderShape) -> SASRec:
    """The encoder that a router file was exported from, weight for weight: to compare, or to train on from.

    Raises:
        KeyError: the file holds no encoder of that shape.
    """
    stored = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    encoder = SASRec(shape)
    names = encoder.state_dict()
    encoder.load_state_dict(
        {
            name: torch.from_numpy(onnx.numpy_helper.to_array(stored[f"encoder.{name}"]).copy())
            for name in names
        }
    )
    return encoder.eval()
