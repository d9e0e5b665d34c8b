"""Put a ranking model together: frozen backbone, adapters on its decoder, item space and head of each."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import quant.nf4  # noqa: F401  (before PEFT, which would import bitsandbytes with the whole compiler)

# isort: split
from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict

from core.adapter_storage import read_adapter
from core.ilora import ILoraConfig, targets_in
from core.item_space import ItemFeatures, ItemSpace, OutputExperts
from core.ranking_model import BranchHead, RankingModel
from core.training.recipe import Recipe
from quant.backbone import Backbone


def bare_model(backbone: Backbone) -> RankingModel:
    """The backbone without any adapter: it can rank by title likelihood only."""
    return _model(backbone, backbone.model.get_decoder(), {}, {}, frozenset())


def new_model(backbone: Backbone, features: ItemFeatures, recipe: Recipe) -> RankingModel:
    """One fresh adapter named after the recipe's method, seeded by the recipe.

    Item space, head and LoRA matrices begin the same for every method of one recipe and seed.
    """
    torch.manual_seed(recipe.run.seed)
    name, model_recipe = recipe.method, recipe.model
    space = ItemSpace(
        features,
        backbone.hidden_size,
        backbone.embedding_norm,
        dropout=model_recipe.token_dropout,
        item_dropout=model_recipe.item_dropout,
    )
    if recipe.adapter.adapt_output and recipe.experts > 1:  # one for all adds nothing to a trained projection
        adapter = recipe.adapter
        with torch.random.fork_rng(devices=[]):  # so that all else begins the same with and without
            width = features.collaborative.shape[1]
            space.experts = OutputExperts(
                backbone.hidden_size, width, adapter.r, recipe.experts, adapter.alpha
            )
    head = BranchHead(backbone.hidden_size)
    decoder = backbone.model.get_decoder()  # found by the model's class, as are its linears
    config = ILoraConfig(
        r=recipe.adapter.r,
        lora_alpha=recipe.adapter.alpha,
        lora_dropout=recipe.adapter.dropout,
        target_modules=targets_in(decoder, recipe.adapter.target_modules),
        num_experts=recipe.experts,
        gate=recipe.adapter.gate,
        gate_width=features.collaborative.shape[1],
        gate_hidden=recipe.adapter.gate_hidden,
        gate_temperature=recipe.adapter.gate_temperature,
        gate_init=recipe.adapter.gate_init,
    )
    if recipe.optimizer.gradient_checkpointing:
        decoder.activation_checkpointing_enable({"use_reentrant": False})
    elif decoder.is_activation_checkpointing:  # by an earlier recipe over the same backbone
        decoder.activation_checkpointing_disable()
    adapted = get_peft_model(decoder, config, adapter_name=name)
    return _model(backbone, adapted, {name: space}, {name: head}, _gated({name: config}))


def stored_model(
    backbone: Backbone,
    folders: Mapping[str, Path],
    spaces: Mapping[str, ItemSpace],
    branches: Mapping[str, BranchHead],
) -> RankingModel:
    """Adapters read from PEFT folders (name -> folder), with their item spaces and heads already loaded.

    Raises:
        RuntimeError, ValueError: an adapter's tensors do not fit its own config or the backbone.
    """
    decoder: PeftModel | None = None
    for name, folder in folders.items():
        config = PeftConfig.from_pretrained(folder)
        config.inference_mode = True
        if decoder is None:
            decoder = PeftModel(backbone.model.get_decoder(), config, adapter_name=name)
        else:
            decoder.add_adapter(name, config)
        told = set_peft_model_state_dict(decoder, read_adapter(folder), adapter_name=name)
        if told.unexpected_keys:
            raise ValueError(f"{folder} holds {told.unexpected_keys[0]}, which has no place in the model.")
    if decoder is None:
        return bare_model(backbone)
    return _model(backbone, decoder, spaces, branches, _gated(decoder.peft_config)).eval()


def _gated(configs: Mapping[str, ILoraConfig]) -> frozenset[str]:
    return frozenset(name for name, config in configs.items() if config.num_experts > 1)


def _model(
    backbone: Backbone,
    decoder: nn.Module,
    spaces: Mapping[str, ItemSpace],
    branches: Mapping[str, BranchHead],
    gated: frozenset[str],
) -> RankingModel:
    """All of it on the backbone's device, where the adapters are already."""
    for part in (*spaces.values(), *branches.values()):
        part.to(backbone.device)
    return RankingModel(decoder, spaces, branches, gated, language_model=backbone.model)
