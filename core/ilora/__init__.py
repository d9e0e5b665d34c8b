"""iLoRA as a PEFT method: LoRA whose rank is shared out among K experts, mixed per person (arXiv 2408.10159).

    decoder = backbone.model  # the decoder without its vocabulary head: a LlamaModel, for instance
    model = get_peft_model(decoder, ILoraConfig(r=8, num_experts=4, gate_width=64), adapter_name="ilora")
    hidden = model(inputs_embeds=x, gate_weights=w).last_hidden_state  # x [B, S, H], w [B, K] -> [B, S, H]

On the decoder no vocabulary logits are computed; the outer ``backbone(input_ids, gate_weights=w)`` shares
the adapted linears and gives logits where they are wanted. Importing this package is what lets
`PeftModel.from_pretrained` read such adapters.
"""

from core.ilora.config import ILoraConfig
from core.ilora.gating import AdapterError
from core.ilora.layer import ILoraLinear
from core.ilora.mixed import BARE
from core.ilora.model import ILoraModel
from core.ilora.parameters import (
    ParameterCount,
    PlainLora,
    adapter_parameters,
    count_parameters,
    half_precision_state,
    split_into_loras,
)
from core.ilora.register import ILORA, register
from core.ilora.targets import ALL_LINEAR, linear_names, targets_in

register(ILoraConfig, ILoraModel)

__all__ = [
    "ALL_LINEAR",
    "BARE",
    "ILORA",
    "AdapterError",
    "ILoraConfig",
    "ILoraLinear",
    "ILoraModel",
    "ParameterCount",
    "PlainLora",
    "adapter_parameters",
    "count_parameters",
    "half_precision_state",
    "linear_names",
    "split_into_loras",
    "targets_in",
]
