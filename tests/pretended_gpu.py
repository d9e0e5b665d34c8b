"""A GPU where there is none: tensors that have a device and a shape, and no values."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

GPU = torch.device("meta")
"""Plays the GPU: modules are moved there before `pretended_gpu` is entered."""


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Inside, a sum over tensors of two devices fails, and so does numpy of a tensor that is not on the CPU.

    What is read out of tensors is zeros.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), _Zeros():
        yield


class _Zeros(TorchFunctionMode):
    """Values that are asked for: zeros, as there are none."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.numpy:
            asked: Tensor = args[0]
            if asked.device.type != "cpu":
                raise TypeError(f"numpy cannot read a tensor on {asked.device}")
            return np.zeros(tuple(asked.shape), dtype=str(asked.dtype).removeprefix("torch."))
        if func in (Tensor.item, Tensor.__int__, Tensor.__float__):
            return 0.0 if args[0].is_floating_point() else 0
        return func(*args, **(kwargs or {}))
