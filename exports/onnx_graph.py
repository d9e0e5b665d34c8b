"""Encoder, gate and retrieval traced into one ONNX file, and the encoder read back. Needs torch."""

import copy
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from core.encoder import EncoderShape, SASRec
from core.gate import Gate

OPSET = 20  # the first with Gelu as one operator; ONNX Runtime has run it since 1.17


class RoutingGraph(nn.Module):
    """history [B, L] int64 -> (sequence [B, D], gate [B, K], scores [B, N], retrieved [B, C]).

    The arithmetic of `core.encoder.TorchRouter`, but the scores are sliced instead of the item vectors: a
    slice of the vectors would be stored a second time (once to look up, once transposed to score).
    """

    def __init__(self, encoder: SASRec, gate: Gate | None, retrieve: int) -> None:
        super().__init__()
        self.encoder, self.gate, self.retrieve = encoder, gate, retrieve

    def forward(self, history: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sequence = self.encoder.last_state(history)  # (B, D)
        gate = self.gate(sequence) if self.gate is not None else torch.ones_like(sequence[:, :1])  # (B, K)
        scores = nn.functional.linear(sequence, self.encoder.items.weight)  # (B, N+1), the last is padding
        scores = scores[:, : self.encoder.shape.num_items]  # (B, N)
        return sequence, gate, scores, scores.topk(self.retrieve, dim=-1).indices


def write_graph(
    encoder: SASRec,
    gate: Gate | None,
    path: Path,
    retrieve: int,
    input_name: str,
    output_names: Sequence[str],
    metadata: dict[str, str],
) -> None:
    """Trace copies of encoder and gate on the CPU in fp32, check the graph, write it to `path`."""
    module = RoutingGraph(copy.deepcopy(encoder), copy.deepcopy(gate), retrieve).cpu().float().eval()
    padding = encoder.shape.num_items
    example = torch.tensor([[0, 1, 2], [0, padding, padding]])  # torch would fix sizes of 1 as constants
    sizes = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("length", min=1)}
    # The exporter warns about torchvision operators that no graph of ours can contain.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch copying its own deprecated tree specs
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes={"history": sizes},
            verbose=False,
            optimize=False,  # keeps weights by name for `read_encoder`; ONNX Runtime optimizes at load
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


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


def _strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: stack traces name this machine's folders and double the graph's size."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.name = "router"
