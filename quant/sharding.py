"""A frozen backbone shared out: each process keeps a part of every layer and gathers a layer when it is used.

FSDP-QLoRA without FSDP's usual costs: nothing here trains, so gradients and optimizer states are no part of
it. What trains is added later (adapters, item vectors), is whole in every process and goes through DDP.
"""

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from quant.errors import BackboneError


def share_out(model: PreTrainedModel, processes: int) -> None:
    """Cut the decoder's layers over the processes of the default group (torch's `fully_shard`, FSDP2).

    Call it before adapters are added. From then on every forward pass is one that all processes make
    together, each over its own batch. Answers stay the same to the last bit. Embeddings, the last norm and
    the head stay whole: they are asked from outside the decoder.

    Args:
        model: frozen, the same in every process; NF4 words stored as a float dtype (`quant.precision`).

    Raises:
        BackboneError: something trains, or 4-bit words are stored as integers.
    """
    decoder = model.get_decoder()
    layers = list(decoder.layers)
    shared = [parameter for layer in layers for parameter in layer.parameters()]
    if any(parameter.requires_grad for parameter in shared):
        raise BackboneError("Only a frozen backbone is shared out: share it out before adapters are added.")
    if not all(parameter.is_floating_point() for parameter in shared):
        raise BackboneError(
            "A backbone whose 4-bit words are stored as integers cannot be shared out:"
            ' load it with storage=torch.bfloat16 (model.storage="bf16").'
        )
    mesh = init_device_mesh(shared[0].device.type, (processes,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    # One root over all layers lets the next one be gathered while this one computes.
    inside = {id(parameter) for parameter in decoder.layers.parameters()}
    whole = {parameter for parameter in decoder.parameters() if id(parameter) not in inside}
    fully_shard(decoder, mesh=mesh, ignored_params=whole)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # of the layers that were whole


def bytes_here(model: PreTrainedModel) -> int:
    """Bytes of the decoder's layers that this process keeps, scales of 4-bit words left out."""
    parameters = model.get_decoder().layers.parameters()
    held = (p.to_local() if isinstance(p, DTensor) else p for p in parameters)
    return sum(tensor.numel() * tensor.element_size() for tensor in held if isinstance(tensor, torch.Tensor))
