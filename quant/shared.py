"""Several models over one set of frozen weights: each has modules of its own, for adapters of its own."""

import threading
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from quant.backbone import Backbone, load_backbone
from quant.nf4 import linears_4bit
from quant.precision import Quantization, Weights
from quant.progress import Progress


def shared_copy(backbone: Backbone) -> Backbone:
    """The same backbone with modules of its own over the same weights; nothing of size is copied.

    What is put into the modules of one (adapters, hooks) is unknown to the other. Nobody may change the
    weights themselves, which both read at once: the CPU packing of 4-bit weights is forbidden (`quant.nf4`).
    """
    model = backbone.model
    same: list[object] = [*model.parameters(), *model.buffers()]
    for _, linear in linears_4bit(model):
        same += [linear.weight.quant_state, linear.quant_state]
    return replace(backbone, model=deepcopy(model, {id(part): part for part in same}))


class Backbones:
    """Loads each backbone once, whoever asks for it. Safe to share between threads."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[object, ...], Backbone] = {}
        self._loading = threading.Lock()

    def load(
        self,
        source: str | Path,
        quantization: Quantization = "nf4",
        device: str | None = None,
        revision: str | None = None,
        progress: Progress | None = None,
        weights: Weights = "nf4",
    ) -> Backbone:
        """As `load_backbone`; the second who asks for the same gets the weights of the first.

        Raises:
            BackboneError: as `load_backbone`.
        """
        wanted = (str(source), quantization, device, revision, weights)
        with self._loading:
            if wanted not in self._loaded:
                self._loaded[wanted] = load_backbone(
                    source, quantization, device, revision=revision, progress=progress, weights=weights
                )
            return shared_copy(self._loaded[wanted])
