"""Reading a finished adapter's parameters: how many, in half the bytes, or as K plain LoRAs."""

from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn

from core.ilora.config import ILoraConfig
from core.ilora.layer import ILoraLinear


@dataclass(frozen=True)
class ParameterCount:
    """Trainable numbers of one adapter: `lora` in all A and B, `gate` what the experts add to it."""

    lora: int
    gate: int


@dataclass(frozen=True)
class PlainLora:
    """One expert as a stock LoRA: its config and its tensors under the names that PEFT saves them by."""

    config: LoraConfig
    tensors: dict[str, Tensor]


def _layers(model: PeftModel, adapter: str) -> list[tuple[str, ILoraLinear]]:
    return [(n, m) for n, m in model.named_modules() if isinstance(m, ILoraLinear) and adapter in m.configs]


def adapter_parameters(model: PeftModel, adapter: str = "default") -> list[nn.Parameter]:
    """Every A and B of an adapter, layer by layer; not its gate."""
    return [
        matrix for _, m in _layers(model, adapter) for matrix in (m.experts_A[adapter], m.experts_B[adapter])
    ]


def count_parameters(model: PeftModel, adapter: str = "default") -> ParameterCount:
    """Count an adapter's numbers, the gate apart (zero for K = 1)."""
    pairs = [(m.experts_A[adapter], m.experts_B[adapter]) for _, m in _layers(model, adapter)]
    gates = model.base_model.experts_gate
    gate = sum(p.numel() for p in gates[adapter].parameters()) if adapter in gates else 0
    return ParameterCount(lora=sum(a.numel() + b.numel() for a, b in pairs), gate=gate)


def half_precision_state(model: PeftModel, adapter: str = "default") -> dict[str, Tensor]:
    """An adapter's state with A and B in bfloat16, for ``save_pretrained(..., state_dict=...)``.

    The gate stays float32: it is small, and its exported twin must agree with it to 1e-5. Loading gives
    float32 masters with exactly the rounded values.
    """
    state = {}
    for name, layer in _layers(model, adapter):
        state[f"{name}.experts_A.{adapter}"] = layer.experts_A[adapter].detach().to(torch.bfloat16)
        state[f"{name}.experts_B.{adapter}"] = layer.experts_B[adapter].detach().to(torch.bfloat16)
    gates = model.base_model.experts_gate
    if adapter in gates:
        for name, tensor in gates[adapter].state_dict().items():
            state[f"base_model.experts_gate.{adapter}.{name}"] = tensor.detach()
    return state


def split_into_loras(model: PeftModel, adapter: str = "default") -> list[PlainLora]:
    """Cut an adapter into its K experts, each a stock LoRA of rank R/K and lora_alpha, exactly.

    ``add_weighted_adapter(names, weights=gate, combination_type="cat")`` of them equals this adapter for the
    person with that gate; so does a server that scales plain LoRAs per request. Tensors are float32 copies.
    """
    config: ILoraConfig = model.peft_config[adapter]
    layers = _layers(model, adapter)
    # Full names, not suffixes: the experts sit exactly where the adapter sits.
    targets = [name.removeprefix("base_model.model.") for name, _ in layers]
    loras = []
    for expert in range(config.num_experts):
        block = slice(expert * config.expert_rank, (expert + 1) * config.expert_rank)
        tensors = {}
        for name, layer in layers:
            a, b = layer.experts_A[adapter].detach(), layer.experts_B[adapter].detach()
            tensors[f"{name}.lora_A.weight"] = a[block].clone()  # (R/K, in)
            tensors[f"{name}.lora_B.weight"] = b[:, block].clone(memory_format=torch.contiguous_format)
        plain = LoraConfig(
            r=config.expert_rank,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=targets,
            task_type=config.task_type,
            base_model_name_or_path=config.base_model_name_or_path,
        )
        loras.append(PlainLora(plain, tensors))
    return loras
