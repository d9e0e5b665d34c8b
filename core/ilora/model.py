"""The tuner: puts experts on a backbone's linears, holds the gates, and brings each batch its mixture."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from peft.utils.constants import INCLUDE_LINEAR_LAYERS_SHORTHAND
from torch import Tensor, nn

from core.gate import Gate
from core.ilora.config import ILoraConfig
from core.ilora.gating import AdapterError, GateContext, by_position, rank_rows
from core.ilora.layer import ILoraLinear, layer_index_of
from core.ilora.mixed import BARE, check_lengths, mixed_batch
from core.ilora.mixture import check_mixture, compute_dtype, mixture_source, rows_each
from core.ilora.register import PREFIX


class ILoraModel(BaseTuner):
    """Instance-wise LoRA as a PEFT tuner (arXiv 2408.10159).

    With every batch comes either ``gate_weights=`` ([B, K], or [B, layers, K] for gate="per_layer": a mixture
    that is already known, e.g. from the ONNX router) or ``sequence=`` ([B, D]: the adapter's own gate
    computes the mixture, for training). Both are taken out before the backbone sees them, on every road into
    it. Adapters with one expert (plain LoRA) need neither and ignore both.

    A mixture can also be fixed beforehand: `set_gate` for the batches that follow, `pin_gate` for everybody.

    With ``adapter_lengths=`` the batch is one row that holds people of unlike length one after the other
    (the caller's mask keeps them apart); gate_weights= or sequence= still has one row per person.

    Several adapters answer one batch with PEFT's ``adapter_names=``: one name per row, or per person of one
    row, "__base__" for none. A gate's rows for people who mix nothing are ignored.

    Attributes:
        experts_gate: by adapter with more than one expert, its gate; trained and saved with the adapter.
        context: what all adapted linears read.
        adapted: every adapted linear.
        num_layers: how many layers the backbone has, read from its modules' names.
    """

    prefix = PREFIX
    tuner_layer_cls = ILoraLinear
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}
    uses_shared_state = True
    active_adapters: list[str]

    model: nn.Module
    experts_gate: nn.ModuleDict
    context: GateContext
    adapted: list[ILoraLinear]
    num_layers: int

    # ------------------------------------------------------------------ building

    def _pre_injection_hook(self, model: nn.Module, config: PeftConfig, adapter_name: str) -> None:
        # Runs once, before the first adapter: what the layers share must exist when they are made.
        self.experts_gate = nn.ModuleDict()
        self.context = GateContext()
        self.adapted = []
        self.num_layers = 1 + max(layer_index_of(name) for name, _ in model.named_modules())
        self._enabled = True
        self._held_gate: Tensor | None = None
        self._last_gate: Tensor | None = None
        self._generating = False
        self._adapter_names: Sequence[str] | None = None
        # PeftModel calls the backbone past this class; a hook on the backbone sees every batch.
        self._gate_hook = model.register_forward_pre_hook(self._receive_gate, with_kwargs=True)

    def _prepare_adapter_config(self, peft_config: ILoraConfig, model_config: dict[str, Any]) -> ILoraConfig:
        if peft_config.target_modules is None:
            peft_config.target_modules = INCLUDE_LINEAR_LAYERS_SHORTHAND
        return peft_config

    def _create_and_replace(
        self,
        peft_config: ILoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, ILoraLinear):
            target.update_layer(adapter_name, peft_config)
        elif isinstance(target, nn.Linear):
            layer = ILoraLinear(target, self.context, layer_index_of(current_key))
            layer.update_layer(adapter_name, peft_config)
            self._replace_module(parent, target_name, layer, target)
            self.adapted.append(layer)
        else:
            raise AdapterError(
                f'"{current_key}" is a {type(target).__name__}: experts can be put on nn.Linear and on'
                " bitsandbytes linears only, name such in target_modules."
            )
        # The gate is made here, not in an injection hook: those do not run for add_adapter and load_adapter.
        if peft_config.num_experts > 1 and adapter_name not in self.experts_gate:
            device = next(target.parameters()).device
            self.experts_gate[adapter_name] = self._new_gate(peft_config, device)

    def _new_gate(self, config: ILoraConfig, device: torch.device) -> Gate:
        layers = self.num_layers if config.gate == "per_layer" else 1
        # From a generator of its own: A and B begin the same with a gate and without. The CPU's, which is put
        # back afterwards: `torch.manual_seed` would seed a GPU too, from which A is drawn.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(torch.initial_seed() + 1)
            shape = config.gate_width, config.num_experts, layers
            gate = Gate(*shape, config.gate_hidden, config.gate_temperature, config.gate_init == "zero")
        # Loading with low_cpu_mem_usage builds on the meta device, where there is nothing to move yet.
        return gate if any(p.is_meta for p in gate.parameters()) else gate.to(device)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Put an adapter on the backbone; other gates stay as trainable as they were."""
        others = [gate for name, gate in self.experts_gate.items() if name != adapter_name]
        before = [(p, p.requires_grad) for gate in others for p in gate.parameters()]
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        for parameter, requires_grad in before:
            parameter.requires_grad = requires_grad

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        super()._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)
        if autocast_adapter_dtype and adapter_name in self.experts_gate:
            self.experts_gate[adapter_name].float()

    # ------------------------------------------------------------------ which adapter answers, what trains

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Make one adapter the active one, and the only one that trains; a gate set for another is forgotten.

        Raises:
            AdapterError: more than one name was given.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else adapter_name
        if len(names) > 1:
            raise AdapterError(f"One adapter can be active at a time, not {len(names)}: {', '.join(names)}.")
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        for name, gate in self.experts_gate.items():
            gate.requires_grad_(name in names and not inference_mode)
        self.set_gate(None)

    def set_requires_grad(self, adapter_names: str | Sequence[str], requires_grad: bool = True) -> None:
        """Let adapters train, or freeze them, gates included."""
        super().set_requires_grad(adapter_names, requires_grad=requires_grad)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            if name in self.experts_gate:
                self.experts_gate[name].requires_grad_(requires_grad)

    def _enable_adapter_layers(self, enabled: bool = True) -> None:
        super()._enable_adapter_layers(enabled)
        self._enabled = enabled

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter and its gate."""
        super().delete_adapter(adapter_name)
        self.context.pinned.pop(adapter_name, None)
        if adapter_name in self.experts_gate:
            del self.experts_gate[adapter_name]
        self.set_gate(None)

    def _gated_adapter(self) -> str | None:
        """The active adapter when it needs a mixture."""
        if not self._enabled or not self.active_adapters:
            return None
        name = self.active_adapters[0]
        return name if self.peft_config[name].num_experts > 1 else None

    # ------------------------------------------------------------------ the gate of a batch

    @property
    def last_gate(self) -> Tensor | None:
        """The mixture of the last batch, [B, K] or [B, layers, K], detached; None where none was needed."""
        return self._last_gate

    def set_gate(self, weights: Tensor | None) -> None:
        """Use this mixture for the batches that follow and bring no gate of their own; None forgets it.

        Shapes: [B, K], or [B, layers, K] for gate="per_layer".
        """
        self._held_gate = weights
        self.context.clear()
        name = self._gated_adapter()
        if weights is not None and name is not None:
            self._load(name, self._source(name, weights, None), batch=None)

    def pin_gate(self, weights: Tensor | None, adapter_name: str | None = None) -> None:
        """Fix one mixture for every person, which also makes merging possible; None lets go of it.

        A gate that comes with a batch goes before a pinned one.

        Args:
            weights: [K], or [layers, K] for gate="per_layer".
            adapter_name: the active adapter when left out.
        """
        name = adapter_name if adapter_name is not None else self.active_adapters[0]
        if weights is None:
            self.context.pinned.pop(name, None)
            return
        self._check_shape(name, weights.unsqueeze(0))
        self.context.pinned[name] = weights.detach().clone()

    @contextmanager
    def generating(
        self, gate_weights: Tensor | None = None, sequence: Tensor | None = None
    ) -> Iterator[None]:
        """Hold one mixture through all steps of a generation: `generate` does, and an outer model's can.

        Its rows are repeated as the generator repeats its own (beams, several returned sequences). Nothing
        need be given when a gate is set or pinned.
        """
        held, self._generating = self._held_gate, True
        try:
            name = self._gated_adapter()
            if name is not None and (gate_weights is not None or sequence is not None):
                with torch.no_grad():
                    self._held_gate = self._source(name, gate_weights, sequence)()
            yield
        finally:
            self._held_gate, self._generating = held, False

    def generate(
        self, *args: Any, gate_weights: Tensor | None = None, sequence: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """The backbone's `generate`, each row's mixture held fixed; reached with task_type="CAUSAL_LM"."""
        with self.generating(gate_weights, sequence):
            return self.model.generate(*args, **kwargs)  # type: ignore[operator]  # a method of the backbone

    @contextmanager
    def _enable_peft_forward_hooks(
        self, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any
    ) -> Iterator[None]:
        # Called by PeftModel, which keeps adapter_names from the backbone and thus from the hook below.
        self._adapter_names = adapter_names
        try:
            yield
        finally:
            self._adapter_names = None

    def _receive_gate(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Forward pre-hook of the backbone: take the gate out of a batch and hand it to the layers."""
        weights, sequence = kwargs.pop("gate_weights", None), kwargs.pop("sequence", None)
        names = kwargs.pop("adapter_names", self._adapter_names)
        lengths = kwargs.pop("adapter_lengths", None)
        given = weights is not None or sequence is not None
        self._last_gate = None
        self.context.mixed = None
        inputs = (kwargs.get("inputs_embeds"), kwargs.get("input_ids"), *args)
        batch = next((tensor for tensor in inputs if isinstance(tensor, Tensor)), None)
        if names is not None and self._enabled:
            self._load_mixed(names, lengths, weights, sequence, batch)
            return args, kwargs
        name = self._gated_adapter()
        if name is None:
            return args, kwargs
        if any(layer.merged_adapters for layer in self.adapted):
            if given:
                raise AdapterError(
                    "A merged adapter has one fixed mixture: unmerge_adapter() to give another."
                )
            return args, kwargs

        if given:
            self._load(name, self._source(name, weights, sequence), batch, lengths=lengths)
        elif self._held_gate is not None:
            self._load(name, self._source(name, self._held_gate, None), batch, lengths=lengths)
        elif name in self.context.pinned:
            pinned = self.context.pinned[name].unsqueeze(0)
            self._load(name, self._source(name, pinned, None), batch, broadcast=True)
        else:
            self.context.clear()
            self.context.rows(0)  # says what is missing
        return args, kwargs

    def _load_mixed(
        self,
        names: Sequence[str],
        lengths: Sequence[int] | None,
        weights: Tensor | None,
        sequence: Tensor | None,
        batch: Tensor | None,
    ) -> None:
        """Cut the batch up among its adapters, and give those with experts the mixtures of their people."""
        if self._generating:
            raise AdapterError("An answer is generated by one adapter: leave adapter_names out.")
        if any(layer.merged_adapters for layer in self.adapted):
            raise AdapterError("A merged adapter answers every row: unmerge_adapter() to name others.")
        assert batch is not None
        mixed = mixed_batch(names, lengths, (batch.shape[0], batch.shape[1]), known=self.peft_config)
        if weights is None and sequence is None:
            weights = self._held_gate
        dtype = compute_dtype(self.model, batch)
        for span in mixed.spans:
            if span.adapter == BARE or self.peft_config[span.adapter].num_experts == 1:
                continue
            if weights is not None or sequence is not None:
                source = span.cut(self._source(span.adapter, weights, sequence), len(names))
                self._fill(span.context, span.adapter, source, span.people, dtype)
            elif span.adapter in self.context.pinned:
                pinned = self.context.pinned[span.adapter].unsqueeze(0)
                source = self._source(span.adapter, pinned, None)
                self._fill(span.context, span.adapter, source, span.people, dtype, broadcast=True)
            else:
                span.context.rows(0)  # says what is missing
        self.context.mixed = mixed

    def _source(self, name: str, weights: Tensor | None, sequence: Tensor | None) -> Callable[[], Tensor]:
        return mixture_source(self.experts_gate[name], self.peft_config[name], weights, sequence)

    def _load(
        self,
        name: str,
        source: Callable[[], Tensor],
        batch: Tensor | None,
        broadcast: bool = False,
        lengths: Sequence[int] | None = None,
    ) -> None:
        """Hand a mixture to all layers, checked against the adapter and the batch."""
        people = None if batch is None else batch.shape[0]
        if lengths is not None and batch is not None:
            check_lengths(lengths, (batch.shape[0], batch.shape[1]))
            people = len(lengths)
        self._fill(self.context, name, source, people, compute_dtype(self.model, batch), broadcast, lengths)
        self._last_gate = self.context.weights

    def _fill(
        self,
        context: GateContext,
        name: str,
        source: Callable[[], Tensor],
        people: int | None,
        dtype: torch.dtype,
        broadcast: bool = False,
        lengths: Sequence[int] | None = None,
    ) -> None:
        config: ILoraConfig = self.peft_config[name]

        def spread(mixture: Tensor) -> tuple[Tensor, ...]:
            self._check_shape(name, mixture)
            repeats = 1
            if not broadcast and people is not None:
                repeats = rows_each(len(mixture), people, self._generating)
            rows = mixture if repeats == 1 else mixture.repeat_interleave(repeats, dim=0)
            spread_rows = rank_rows(rows, config.expert_rank, config.scaling, dtype)
            return spread_rows if lengths is None else by_position(spread_rows, lengths)

        context.load(source, spread, broadcast)

    def _check_shape(self, name: str, weights: Tensor) -> None:
        check_mixture(self.peft_config[name], self.num_layers, weights)

    # ------------------------------------------------------------------ merging

    def _refuse_undefined_merge(self, adapter_names: list[str] | None) -> None:
        """Raise before the first weight is touched, so that a refused merge leaves nothing half done."""
        for layer in self.adapted:
            for name in layer.active_adapters if adapter_names is None else adapter_names:
                if name in layer.configs:
                    layer.mixture_to_merge(name)

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Write adapters into the backbone's float weights, mixed by their pinned gates.

        Raises:
            AdapterError: a gate is not pinned, or the backbone is quantized.
        """
        self._refuse_undefined_merge(adapter_names)
        super().merge_adapter(adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(
        self,
        merge: bool = True,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Module:
        if merge:
            self._refuse_undefined_merge(adapter_names)
        backbone: nn.Module = super()._unload_and_optionally_merge(
            merge, progressbar, safe_merge, adapter_names
        )
        self._gate_hook.remove()
        return backbone

    # ------------------------------------------------------------------ saving

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """As PEFT does, and for a gate, where the adapter's name stands before a nested module's name."""
        marker = f"experts_gate.{adapter_name}."
        if marker in key:
            return key.replace(marker, "experts_gate.", 1)
        return super()._remove_adapter_name_from_key(key, adapter_name)
