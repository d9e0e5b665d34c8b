"""A small real language model, and what every test of experts needs: stirred weights, a stock LoRA."""

import copy
from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from core.assets import BACKBONE, fetch
from core.ilora import ILoraLinear
from quant.backbone import load_backbone

LAYERS = 4


@pytest.fixture(scope="session")
def smollm() -> PreTrainedModel:
    """SmolLM2-135M in float32, all 30 layers. Not to be changed: copy it with `copied`."""
    return load_backbone(next(fetch(BACKBONE).glob("*.gguf")), "fp32", device="cpu").model


@pytest.fixture(scope="session")
def shallow(smollm: PreTrainedModel) -> PreTrainedModel:
    """The same model cut to its first four layers. Not to be changed either."""
    model = _copied(smollm, layers=LAYERS)
    model.model.layers = model.model.layers[:LAYERS]
    model.config.num_hidden_layers = LAYERS
    return model


def _copied(model: PreTrainedModel, layers: int | None = None) -> PreTrainedModel:
    # The copies share their embeddings, most of a shallow model: no test may train or cast those.
    embedding = model.get_input_embeddings().weight
    memo: dict[int, object] = {id(embedding): embedding}
    if layers is not None:
        memo |= {id(layer): layer for layer in model.model.layers[layers:]}
    return copy.deepcopy(model, memo)


@pytest.fixture
def lm(shallow: PreTrainedModel) -> PreTrainedModel:
    """A four-layer language model of the test's own."""
    return _copied(shallow)


@pytest.fixture
def lm_bf16(shallow: PreTrainedModel) -> PreTrainedModel:
    """The four-layer model in bfloat16, embeddings and all."""
    return copy.deepcopy(shallow).bfloat16()


@pytest.fixture
def copied() -> Callable[[PreTrainedModel], PreTrainedModel]:
    return _copied


@pytest.fixture
def stir() -> Callable[..., None]:
    """Give an adapter's B weights as large as A's: fresh ones are zero, and then every test would pass."""

    def apply(model: nn.Module, adapter: str = "default", seed: int = 1) -> None:
        generator = torch.Generator().manual_seed(seed)
        for layer in model.modules():
            if isinstance(layer, ILoraLinear) and adapter in layer.experts_B:
                b = layer.experts_B[adapter]
                b.data.copy_(torch.randn(b.shape, generator=generator) * 0.02)

    return apply


@pytest.fixture
def stock_lora() -> Callable[..., PeftModel]:
    """PEFT's own LoRA at alpha/r on a bare copy of the model, with the A and B of one of our adapters."""

    def build(ours: PeftModel, bare: nn.Module, adapter: str = "default") -> PeftModel:
        config = ours.peft_config[adapter]
        targets = sorted(config.target_modules)
        stock = get_peft_model(
            bare, LoraConfig(r=config.r, lora_alpha=config.lora_alpha, target_modules=targets)
        )
        theirs = {name: layer for name, layer in stock.named_modules() if isinstance(layer, LoraLayer)}
        mine = {name: layer for name, layer in ours.named_modules() if isinstance(layer, ILoraLinear)}
        assert theirs.keys() == mine.keys()
        for name, layer in mine.items():
            theirs[name].lora_A["default"].weight.data.copy_(layer.experts_A[adapter].data)
            theirs[name].lora_B["default"].weight.data.copy_(layer.experts_B[adapter].data)
        return stock.eval()

    return build


@pytest.fixture
def embeds() -> torch.Tensor:
    """Embeddings of three rows of seven positions, [3, 7, 576], about as large as the model's own."""
    return torch.randn(3, 7, 576, generator=torch.Generator().manual_seed(7)) * 0.1


@pytest.fixture
def mixtures() -> torch.Tensor:
    """Three people's mixtures of four experts, [3, 4]."""
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(8)).softmax(-1)
