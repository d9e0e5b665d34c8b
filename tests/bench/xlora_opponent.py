"""Row 2: X-LoRA as PEFT ships it, and ours, on the first layers of the real backbone in float32."""

import copy
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, XLoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.ilora import ILoraConfig
from quant.backbone import load_backbone
from tests.bench.backbone_file import backbone_file
from tests.bench.layer_opponents import ALPHA, NAMES

LAYERS = 4


def shallow_model() -> PreTrainedModel:
    """Four layers without a vocabulary head, which would cost both sides the same."""
    model = load_backbone(backbone_file(), "fp32").model
    model.model.layers = model.model.layers[:LAYERS]
    model.config.num_hidden_layers = LAYERS
    model.config.use_cache = False  # X-LoRA refuses a cache
    model.lm_head = nn.Identity()
    return model


def our_experts(model: PreTrainedModel, experts: int) -> PeftModel:
    config = ILoraConfig(r=experts, num_experts=experts, lora_alpha=ALPHA, target_modules=list(NAMES))
    return get_peft_model(copy.deepcopy(model), config).train()


def xlora(model: PreTrainedModel, experts: int, folder: Path) -> PeftModel:
    """As many stock LoRAs of rank 1, mixed by X-LoRA's classifier, all of it trained."""
    saved = {}
    for number in range(experts):
        config = LoraConfig(r=1, lora_alpha=ALPHA, target_modules=list(NAMES), task_type="CAUSAL_LM")
        get_peft_model(copy.deepcopy(model), config).save_pretrained(folder / str(number))
        saved[str(number)] = str(folder / str(number))
    mixing = XLoraConfig(
        task_type="CAUSAL_LM",
        hidden_size=model.config.hidden_size,
        xlora_depth=1,
        adapters=saved,
        use_trainable_adapters=True,
    )
    return get_peft_model(copy.deepcopy(model), mixing).train()


def training_loss(model: PeftModel, words: Tensor, **mixture: Tensor) -> Tensor:
    """A loss over the last hidden states, whatever it means: both sides go the same way back."""
    hidden: Tensor = model(input_ids=words, **mixture).logits
    return hidden.square().mean()


def training_step(model: PeftModel, words: Tensor, **mixture: Tensor) -> None:
    training_loss(model, words, **mixture).backward()
    for tensor in (*model.parameters(), *mixture.values()):
        tensor.grad = None


def some_words(people: int = 16, length: int = 25) -> Tensor:
    return torch.randint(0, 40_000, (people, length), generator=torch.Generator().manual_seed(3))
