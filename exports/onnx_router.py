"""Routing as one ONNX graph: encoder, gate and retrieval, run by ONNX Runtime without torch.

`export_router` is called once, after training; `OnnxRouter` serves every request. It satisfies
`core.routing.Router`, as the torch twin `core.encoder.TorchRouter` does.

Shapes: B batch, L history length, D encoder width, K experts, N items, C retrieved.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from core.errors import BundleError
from core.routing import Floats, History, Indices, Routing, pad_indices

if TYPE_CHECKING:  # the request path must not need torch
    from core.encoder import SASRec
    from core.gate import Gate

INPUT = "history"
OUTPUTS = ("sequence", "gate", "scores", "retrieved")
FORMAT = "ilora-router/1"
LOAD_ERRORS = (
    ort_errors.InvalidProtobuf,
    ort_errors.InvalidGraph,
    ort_errors.InvalidArgument,
    ort_errors.Fail,
)


@dataclass(frozen=True)
class RouterShape:
    """What a router file says about itself, kept in its metadata so that the file stands alone.

    Attributes:
        num_items: N; index N pads a history on the right.
        width: D.
        num_experts: K (1 without a gate).
        max_length: how many of the last items the encoder reads.
        retrieve: C, at most N.
        layers, heads: of the encoder, needed to build its torch twin.
    """

    num_items: int
    width: int
    num_experts: int
    max_length: int
    retrieve: int
    layers: int
    heads: int


def export_router(encoder: SASRec, gate: Gate | None, path: Path, retrieve: int = 100) -> RouterShape:
    """Write encoder, gate and retrieval to one ONNX file, checked and moved into place atomically.

    Graph: history [B, L] int64 (B, L >= 1 dynamic) -> sequence [B, D], gate [B, K], scores [B, N] float32,
    retrieved [B, C] int64, best first, equal scores by ascending index. Without a gate: ones, K = 1.
    The encoder and gate are copied: the caller's device, precision and train mode stay as they are.
    """
    from exports.onnx_graph import write_graph  # torch and onnx, needed only here

    shape = RouterShape(
        num_items=encoder.shape.num_items,
        width=encoder.shape.width,
        num_experts=1 if gate is None else gate.num_experts,
        max_length=encoder.shape.max_length,
        retrieve=min(retrieve, encoder.shape.num_items),
        layers=encoder.shape.layers,
        heads=encoder.shape.heads,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        metadata = {"format": FORMAT} | {key: str(value) for key, value in asdict(shape).items()}
        write_graph(encoder, gate, unfinished, shape.retrieve, INPUT, OUTPUTS, metadata)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return shape


class OnnxRouter:
    """Routes histories with ONNX Runtime on the CPU; safe to call from several threads.

    Args:
        path: a file written by :func:`export_router`.
        threads: intra-op threads. One is fastest for one person at a time and leaves the cores to the LM.

    Raises:
        BundleError: no such file, or not a router of a known format.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        path = Path(path)
        if not path.is_file():
            raise BundleError(f"There is no router file at {path}; it is written by `ilora train`.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        except LOAD_ERRORS as error:
            raise BundleError(f"{path} is damaged or no ONNX file; export the router again.") from error
        self.shape = _read_shape(self._session.get_modelmeta().custom_metadata_map, path)

    @property
    def num_experts(self) -> int:
        return self.shape.num_experts

    def route(self, histories: Sequence[History]) -> Routing:
        """Histories (oldest first, any length, empty allowed) -> Routing for B = len(histories).

        Raises:
            DataError: an item index outside [0, N).
        """
        if not histories:
            return self._empty()
        padded = pad_indices(histories, self.shape.num_items, self.shape.max_length)
        sequence, gate, scores, retrieved = self._session.run(list(OUTPUTS), {INPUT: padded})
        return Routing(sequence, gate, scores, retrieved)

    def retrieve(self, histories: Sequence[History]) -> tuple[Floats, Floats, Indices]:
        """:meth:`route` of at least one history without the scores [B, N]: sequence, gate and retrieved."""
        padded = pad_indices(histories, self.shape.num_items, self.shape.max_length)
        sequence, gate, retrieved = self._session.run(["sequence", "gate", "retrieved"], {INPUT: padded})
        return sequence, gate, retrieved

    def _empty(self) -> Routing:
        shape = self.shape
        widths = (shape.width, shape.num_experts, shape.num_items)
        sequence, gate, scores = (np.empty((0, width), dtype=np.float32) for width in widths)
        return Routing(sequence, gate, scores, np.empty((0, shape.retrieve), dtype=np.int64))


def _read_shape(metadata: dict[str, str], path: Path) -> RouterShape:
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "none")
        raise BundleError(f"{path} is not a router this version reads (format {found}, wanted {FORMAT}).")
    try:
        return RouterShape(**{field.name: int(metadata[field.name]) for field in fields(RouterShape)})
    except (KeyError, ValueError) as error:
        raise BundleError(f"{path} has incomplete metadata ({error}); export the router again.") from error
