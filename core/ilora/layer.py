"""One adapted linear: ``W x + s * B ((A x) * repeat_interleave(w, R/K))`` (arXiv 2408.10159, section 3.3)."""

import math
import re

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from torch.nn import functional as F

from core.ilora.config import ILoraConfig
from core.ilora.gating import AdapterError, GateContext
from core.ilora.mixed import MixedBatch

FEW = 64
"""Positions up to which an answer's product in rank space is made in fp32 where the CPU computes in bf16:
setting up a bf16 product takes longer than so small a one in fp32, which also rounds but once."""


def layer_index_of(name: str) -> int:
    """The backbone layer that a module's dotted name lies in: its first number, 0 when it has none."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
    return int(found.group(1)) if found else 0


class ILoraLinear(nn.Module, BaseTunerLayer):
    """Wraps an `nn.Linear` or a bitsandbytes linear; it only calls it and adds to its answer.

    A [R, in] and B [out, R] are float32 masters, cast to the input's dtype at use, or used as they are for
    few positions on a CPU (`FEW`). Dictionaries are keyed by adapter. The gate comes from the context that
    all layers of a model share; its rows are the batch's rows.

    Args:
        base_layer: the linear to adapt.
        context: where the running batch's gate is found.
        layer_index: which row of a per-layer gate is this linear's.
    """

    adapter_layer_names = ("experts_A", "experts_B")
    other_param_names = ("configs", "experts_dropout")
    active_adapters: list[str]

    def __init__(self, base_layer: nn.Linear, context: GateContext, layer_index: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.context = context
        self.layer_index = layer_index
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.experts_A = nn.ParameterDict()
        self.experts_B = nn.ParameterDict()
        self.experts_dropout = nn.ModuleDict()
        self.configs: dict[str, ILoraConfig] = {}
        self.merged_adapters: list[str] = []
        self._weight_before_merge: Tensor | None = None

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: r={c.r} K={c.num_experts}" for name, c in self.configs.items())

    @property
    def quantized(self) -> bool:
        """Whether the wrapped weight is stored in fewer bits than a float."""
        weight = self.base_layer.weight
        return not weight.is_floating_point() or hasattr(weight, "quant_state")

    # ------------------------------------------------------------------ adapters

    def update_layer(self, adapter_name: str, config: ILoraConfig) -> None:
        """Add an adapter: A drawn as LoRA draws it (Kaiming uniform), B zero: no answer changes yet."""
        self.configs[adapter_name] = config
        device = self.base_layer.weight.device
        a = nn.Parameter(torch.empty(config.r, self.in_features, device=device))
        nn.init.kaiming_uniform_(a, a=math.sqrt(5))
        self.experts_A[adapter_name] = a
        self.experts_B[adapter_name] = nn.Parameter(torch.zeros(self.out_features, config.r, device=device))
        drops = config.lora_dropout > 0
        self.experts_dropout[adapter_name] = nn.Dropout(config.lora_dropout) if drops else nn.Identity()

    def enable_adapters(self, enabled: bool) -> None:
        """Switch the experts on or off. Unlike in PEFT, what may train stays as it is."""
        self._disable_adapters = not enabled

    def _move_adapter_to_device_of_base_layer(
        self, adapter_name: str, device: torch.device | None = None
    ) -> None:
        """Follow the base layer's device but never its dtype: A and B stay float32 masters."""
        target = device if device is not None else self.base_layer.weight.device
        for parameters in (self.experts_A, self.experts_B):
            if adapter_name in parameters and parameters[adapter_name].device.type != "meta":
                parameters[adapter_name].data = parameters[adapter_name].data.to(target)

    # ------------------------------------------------------------------ answering

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """x [B, S, in] or [B, in] -> [B, S, out] or [B, out], in the dtype that the base layer answers in.

        Raises:
            AdapterError: the active adapter has experts and no gate is known, or the gate's rows are not x's.
        """
        if self.disable_adapters and self.merged:
            self.unmerge()
        y: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return y
        if self.context.mixed is not None:
            return self._add_spans(self.context.mixed, x, y)
        for name in self.active_adapters:  # at most one, see ILoraModel.set_adapter
            if name in self.configs:
                y = self._add_experts(name, x, y)
        return y

    def _add_experts(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        answers = y.flatten(0, -2)  # (B * S, out)
        if _is_small(answers):
            u, b, scale = self._in_rank_space(name, x.float(), torch.float32, self.context)
            return torch.addmm(answers.float(), u, b, alpha=scale).to(y.dtype).view(y.shape)
        u, b, scale = self._in_rank_space(name, x, y.dtype, self.context)
        # One product that also adds: a second tensor of y's size would cost ten times the product itself.
        if torch.is_grad_enabled():
            return torch.addmm(answers, u, b, alpha=scale).view(y.shape)
        # In place: nobody else holds the base layer's answer.
        return answers.addmm_(u, b, alpha=scale).view(y.shape)

    def _add_spans(self, batch: MixedBatch, x: Tensor, y: Tensor) -> Tensor:
        """Each span's own adapter on its own positions; the others keep the base layer's answer."""
        tokens, answers = x.flatten(0, -2), y.flatten(0, -2)  # (B * S, in), (B * S, out)
        unit = tokens.shape[0] // batch.size
        for span in batch.spans:
            if span.adapter in self.configs:
                part = slice(span.start * unit, span.stop * unit)
                theirs, answer = tokens[part].view(span.people, -1, self.in_features), answers[part]
                # In place: nobody else holds the base layer's answer.
                if _is_small(answer):
                    u, b, scale = self._in_rank_space(
                        span.adapter, theirs.float(), torch.float32, span.context
                    )
                    answer.copy_(torch.addmm(answer.float(), u, b, alpha=scale))
                else:
                    u, b, scale = self._in_rank_space(span.adapter, theirs, y.dtype, span.context)
                    answer.addmm_(u, b, alpha=scale)
        return answers.view(y.shape)

    def _in_rank_space(
        self, name: str, x: Tensor, dtype: torch.dtype, context: GateContext
    ) -> tuple[Tensor, Tensor, float]:
        """``A x``, mixed where there are experts, [B * S, R]; the transposed B [R, out]; and their scale."""
        config = self.configs[name]
        if self.training and config.lora_dropout > 0:
            x = self.experts_dropout[name](x)
        u = F.linear(x, self.experts_A[name].to(x.dtype))  # (B, S, R)
        scale = config.scaling
        if config.num_experts > 1:
            u, scale = u * self._rows_for(u, context), 1.0  # the rows carry the scale
        return u.flatten(0, -2).to(dtype), self.experts_B[name].to(dtype).t(), scale

    def _rows_for(self, u: Tensor, context: GateContext) -> Tensor:
        rows = context.rows(self.layer_index, u.dtype)  # (B, 1, R)
        if rows.shape[0] != u.shape[0] and not context.broadcast:
            raise AdapterError(
                f"The gate has {rows.shape[0]} rows, the batch {u.shape[0]}: one mixture per row."
            )
        if rows.device != u.device:
            rows = rows.to(u.device)
        return rows if u.dim() == 3 else rows.squeeze(1)

    # ------------------------------------------------------------------ merging

    def delta_weight(self, adapter_name: str, weights: Tensor) -> Tensor:
        """``s * sum_k w_k B_k A_k``, [out, in] float32, for one mixture `weights` [K]."""
        config, a, b = self.configs[adapter_name], self.experts_A[adapter_name], self.experts_B[adapter_name]
        rows = (weights.to(a) * config.scaling).repeat_interleave(config.expert_rank)  # (R,)
        return (b * rows) @ a

    def mixture_to_merge(self, adapter_name: str) -> Tensor:
        """The one mixture [K] that merging would use in this layer.

        Raises:
            AdapterError: there is none, or the base weight is quantized.
        """
        if self.quantized:
            raise AdapterError(
                "An adapter is never merged into quantized weights, since rounding would change its answers:"
                " keep it beside them, or load the backbone in bf16 first."
            )
        if self.configs[adapter_name].num_experts == 1:
            return torch.ones(1)
        if adapter_name not in self.context.pinned:
            raise AdapterError(
                f'Adapter "{adapter_name}" mixes its experts anew for each person, so there is no single'
                " weight to merge: pin one mixture with pin_gate(weights) first."
            )
        pinned = self.context.pinned[adapter_name]
        return pinned[self.layer_index] if pinned.dim() == 2 else pinned

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Write adapters into the base weight, mixed by their pinned gates; `unmerge` undoes it exactly.

        Raises:
            AdapterError: see `mixture_to_merge`; or the result would not be finite (`safe_merge`).
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.configs]
        deltas = [self.delta_weight(name, self.mixture_to_merge(name)).detach() for name in names]
        if not deltas:
            return
        weight = self.base_layer.weight
        merged = (weight.data + torch.stack(deltas).sum(0)).to(weight.dtype)  # summed in the wider dtype
        if safe_merge and not bool(torch.isfinite(merged).all()):
            raise AdapterError(f"Merging {', '.join(names)} would write numbers that are not finite.")
        if self._weight_before_merge is None:
            self._weight_before_merge = weight.data
        weight.data = merged
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Put back the base weight of before `merge`, bit for bit."""
        if self._weight_before_merge is not None:
            self.base_layer.weight.data = self._weight_before_merge
        self._weight_before_merge = None
        self.merged_adapters.clear()


def _is_small(answers: Tensor) -> bool:
    """Whether answers [positions, out] are so few that fp32 products in rank space are the faster ones."""
    # Not in training: its passes are long, and the planner counts on bf16 being kept for the way back.
    few = len(answers) <= FEW and not torch.is_grad_enabled()
    return few and answers.dtype == torch.bfloat16 and answers.device.type == "cpu"
