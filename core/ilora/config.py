"""What an iLoRA adapter is made of (arXiv 2408.10159, section 3.3), as saved in ``adapter_config.json``."""

from dataclasses import dataclass, field
from typing import Any, Literal

from peft import PeftConfig

from core.errors import RecipeError
from core.ilora.register import ILORA


@dataclass
class ILoraConfig(PeftConfig):
    """LoRA of rank r whose rank is shared out among K experts, mixed by one gate per person.

    ``num_experts=1`` has no gate and *is* LoRA at lora_alpha/r, so plain LoRA is this class too.

    Attributes:
        r: R, the rank of all experts together; each expert has R/K of it.
        num_experts: K, must divide r.
        lora_alpha: numerator of the scale. A uniform gate gives LoRA at lora_alpha/r.
        lora_dropout: probability of dropping an input feature on the adapter's way, while training.
        target_modules: names or a regular expression of the linears to adapt; None and "all-linear" both mean
            every linear of the decoder's layers (attention and MLP), never the output head.
        exclude_modules: names or a regular expression of linears to leave alone.
        gate: "shared" mixes all layers alike (the paper); "per_layer" gives each layer its own mixture.
        gate_width: D, the width of the sequence vector that the gate reads.
        gate_hidden: width of the gate's hidden layer; None is the paper's linear gate.
        gate_temperature: divides the gate's logits; above 1 is softer.
        gate_init: "random" as a linear layer is drawn (the papers' code); "zero" begins with every expert
            alike for everybody, which is LoRA, and learns how far to depart from it.
        layers_to_transform: indices of the layers to adapt; None is all.
        layers_pattern: name of the module list that these indices count.
        modules_to_save: further modules that are trained and saved whole.

    Raises:
        RecipeError: a value is not allowed.
    """

    r: int = 8
    num_experts: int = 4
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    target_modules: list[str] | set[str] | str | None = None
    exclude_modules: list[str] | set[str] | str | None = None
    gate: Literal["shared", "per_layer"] = "shared"
    gate_width: int = 64
    gate_hidden: int | None = None
    gate_temperature: float = 1.0
    gate_init: Literal["random", "zero"] = "random"
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = field(default="layers")
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = ILORA
        if self.r < 1 or self.num_experts < 1 or self.r % self.num_experts:
            raise RecipeError(
                f"r={self.r} cannot be shared out among num_experts={self.num_experts}: "
                "num_experts must be at least 1 and divide r."
            )
        if not 0.0 <= self.lora_dropout < 1.0:
            raise RecipeError(f"lora_dropout={self.lora_dropout} is not a probability below 1.")
        if self.gate not in ("shared", "per_layer"):
            raise RecipeError(f'gate="{self.gate}" is not known; choose "shared" or "per_layer".')
        if self.gate_init not in ("random", "zero"):
            raise RecipeError(f'gate_init="{self.gate_init}" is not known; choose "random" or "zero".')
        if self.gate_width < 1 or (self.gate_hidden is not None and self.gate_hidden < 1):
            raise RecipeError(
                f"gate_width={self.gate_width} and gate_hidden={self.gate_hidden} must be positive "
                "(gate_hidden may be left out for a linear gate)."
            )
        if self.gate_temperature <= 0:
            raise RecipeError(f"gate_temperature={self.gate_temperature} must be above 0.")

    @property
    def expert_rank(self) -> int:
        """R/K, the rank of one expert."""
        return self.r // self.num_experts

    @property
    def scaling(self) -> float:
        """s = lora_alpha / (R/K) (arXiv 2408.10159, section 3.3)."""
        return self.lora_alpha / self.expert_rank

    def to_dict(self) -> dict[str, Any]:
        """As saved; names in order, so that saving the same adapter twice writes the same bytes."""
        fields: dict[str, Any] = super().to_dict()
        return {key: sorted(value) if isinstance(value, set) else value for key, value in fields.items()}
