"""Any causal language model: of each architecture a tiny random one learns, is saved, and answers as before.

In 4 bits, on real rows, with the packaged backbone's tokenizer.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

from core.assembly import new_model
from core.assets import BACKBONE, fetch
from core.data.dataset import Dataset
from core.encoder import EncoderShape, SASRec, TorchRouter
from core.errors import BackboneError, RecipeError
from core.ilora import ILoraLinear, linear_names
from core.item_space import ItemFeatures
from core.item_text import read_items
from core.prompt import Wording, opening_ids, title_ids
from core.ranker import Ranker
from core.ranking_model import RankingModel
from core.training.finished import ADAPTER, SPACE, load_weights
from core.training.objective import Objective
from core.training.recipe import Recipe, load_recipe
from core.training.rows import CatalogueRows, Collator
from core.training.trainer import new_optimizer
from quant.backbone import Backbone, load_backbone

SEPARATE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("o_proj", "qkv_proj", "gate_up_proj", "down_proj")
ARCHITECTURES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "llama": ({"tie_word_embeddings": False}, SEPARATE),
    "mistral": ({"tie_word_embeddings": False, "sliding_window": 16}, SEPARATE),
    "qwen2": ({"tie_word_embeddings": True}, SEPARATE),
    "qwen3": ({"tie_word_embeddings": True, "head_dim": 16}, SEPARATE),
    "gemma2": ({"head_dim": 16, "final_logit_softcapping": 30.0}, SEPARATE),
    "gemma3_text": ({"head_dim": 16}, SEPARATE),
    "phi3": ({"tie_word_embeddings": False, "pad_token_id": 0}, FUSED),
}
RECIPE: Recipe = load_recipe("demo-cpu", ["optimizer.adapter_lr=5e-3", "model.token_dropout=0.0"])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return load_backbone(next(fetch(BACKBONE).glob("*.gguf")), "bf16", device="cpu").tokenizer


@pytest.fixture(scope="module")
def tiny(
    tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Backbone]:
    """A fresh 4-bit backbone of an architecture, two layers, random weights; always the same ones."""
    folders: dict[str, Path] = {}

    def load(name: str) -> Backbone:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            torch.manual_seed(11)
            config = AutoConfig.for_model(
                name,
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                vocab_size=len(tokenizer),
                **ARCHITECTURES[name][0],
            )
            AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folders[name])
            tokenizer.save_pretrained(folders[name])
        return load_backbone(folders[name], device="cpu", compute="fp32")

    return load


@pytest.fixture(scope="module")
def encoder(movielens: Dataset) -> SASRec:
    torch.manual_seed(3)
    return SASRec(EncoderShape(len(movielens.catalog))).eval()


@pytest.fixture(scope="module")
def features(encoder: SASRec) -> ItemFeatures:
    n = encoder.shape.num_items
    torch.manual_seed(4)
    return ItemFeatures(encoder.items.weight[:-1].detach(), torch.randn(n, 8), torch.ones(n).bool())


@pytest.fixture(scope="module")
def words(tokenizer: PreTrainedTokenizerBase, movielens: Dataset) -> Wording:
    return Wording.of(tokenizer, movielens.catalog)


def learn(
    model: RankingModel, encoder: SASRec, movielens: Dataset, words: Wording, steps: int
) -> list[float]:
    """Losses of some steps over the same eight rows."""
    objective = Objective(model, encoder, "ilora").train()
    rows = CatalogueRows(movielens.split("loo"), RECIPE.rows, 8, seed=1)
    batch = Collator(words, len(movielens.catalog))([rows[i] for i in range(8)])
    optimizer, losses = new_optimizer(objective, RECIPE), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = objective(**batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def scores(
    model: RankingModel, encoder: SASRec, movielens: Dataset, words: Wording, **how: Any
) -> torch.Tensor:
    ranker = Ranker(model, words, 20, torch.zeros(len(movielens.catalog)))
    histories = [case.history[-9:] for case in movielens.split("loo").test[:2]]
    routing = TorchRouter(encoder, model.gate_of("ilora")).route(histories)
    return ranker.score(routing, histories, **how)


def store(model: RankingModel, folder: Path) -> None:
    """As a finished run is stored."""
    model.decoder.save_pretrained(folder / ADAPTER)
    parts = {"space": model.space("ilora"), "branch": model.branches["ilora"]}
    tensors = {f"{part}.{k}": v for part, m in parts.items() for k, v in m.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / SPACE)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_learns_is_saved_and_answers_the_same_again(
    name: str,
    tiny: Callable[[str], Backbone],
    encoder: SASRec,
    features: ItemFeatures,
    movielens: Dataset,
    words: Wording,
    tmp_path: Path,
) -> None:
    backbone = tiny(name)
    assert linear_names(backbone.model.get_decoder()) == ARCHITECTURES[name][1]
    model = new_model(backbone, features, RECIPE)
    adapted = [m for m in model.decoder.modules() if isinstance(m, ILoraLinear)]
    assert len(adapted) == 2 * len(ARCHITECTURES[name][1]) and all(m.quantized for m in adapted)
    assert type(backbone.model.get_output_embeddings()) is nn.Linear  # a head is never 4-bit

    losses = learn(model, encoder, movielens, words, steps=6)
    assert losses[-1] < losses[0] - 0.1
    changed = [float(m.experts_B["ilora"].detach().abs().max()) for m in adapted]
    assert min(changed) > 0  # every linear found has learned, fused ones too

    store(model, tmp_path)
    loaded = new_model(tiny(name), features, RECIPE)
    load_weights(loaded, tmp_path, "ilora")
    first, second = (scores(m, encoder, movielens, words) for m in (model, loaded))
    assert first.std() > 0 and torch.equal(first, second)


@pytest.mark.parametrize("name", ["llama", "gemma2", "phi3"])
@pytest.mark.parametrize("mode", ["branch", "title"])
def test_candidates_in_one_pass_score_as_each_alone(
    name: str,
    mode: str,
    tiny: Callable[[str], Backbone],
    encoder: SASRec,
    features: ItemFeatures,
    movielens: Dataset,
    words: Wording,
) -> None:
    """Gemma 2 adds its mask to the scores: one of True and False would hide nothing."""
    backbone = tiny(name)
    model = new_model(backbone, features, RECIPE)
    torch.manual_seed(6)
    nn.init.normal_(model.branches["ilora"].network[-1].weight)
    how = {"mode": mode, "adapter": "base" if mode == "title" else "ilora"}
    together = scores(model, encoder, movielens, words, candidates=np.array([[5, 900, 40]] * 2), **how)
    alone = [
        scores(model, encoder, movielens, words, candidates=np.array([[item]] * 2), **how)
        for item in (5, 900, 40)
    ]
    assert torch.allclose(together, torch.cat(alone, dim=1), atol=1e-4)


def test_item_tokens_are_as_long_as_the_words_a_decoder_reads(tiny: Callable[[str], Backbone]) -> None:
    """Gemma multiplies what it looks up by the root of its width."""
    gemma = tiny("gemma2")
    table = gemma.model.get_input_embeddings().weight.float().norm(dim=-1).mean()
    assert gemma.embedding_norm == pytest.approx(8 * float(table), rel=1e-2)


def test_a_title_likelihood_is_that_of_the_models_own_head(
    tiny: Callable[[str], Backbone],
    encoder: SASRec,
    features: ItemFeatures,
    movielens: Dataset,
    words: Wording,
) -> None:
    """Capped logits, scaled words: what the library computes for the whole sequence."""
    backbone = tiny("gemma2")
    model = new_model(backbone, features, RECIPE)
    history = movielens.split("loo").test[0].history[-9:]
    asked = np.array([[7]] * 2)
    told = scores(model, encoder, movielens, words, candidates=asked, mode="title", adapter="base")
    prompt = [
        *words.instruction,
        *(t for i in history for t in (*words.titles[i], *words.separator)),
        *words.question,
    ]
    with torch.inference_mode(), model.decoder.disable_adapter():
        logits = backbone.model(torch.tensor([[*prompt, *words.titles[7]]])).logits[0].float().log_softmax(-1)
    own = sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(words.titles[7]))
    assert float(told[0]) == pytest.approx(own, abs=1e-3)


@pytest.mark.parametrize("name", ["gemma2", "phi3"])
def test_layers_that_are_computed_again_learn_the_same(
    name: str,
    tiny: Callable[[str], Backbone],
    encoder: SASRec,
    features: ItemFeatures,
    movielens: Dataset,
    words: Wording,
) -> None:
    losses = []
    for setting in ("true", "false"):
        recipe = load_recipe("demo-cpu", [f"optimizer.gradient_checkpointing={setting}"])
        model = new_model(tiny(name), features, recipe)
        layers = model.decoder.get_base_model().layers
        assert {layer.gradient_checkpointing for layer in layers} == {setting == "true"}
        torch.manual_seed(8)  # the same dropout
        losses.append(learn(model, encoder, movielens, words, steps=2))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_only_named_linears_are_adapted_and_unknown_names_are_told_what_there_is(
    tiny: Callable[[str], Backbone], features: ItemFeatures
) -> None:
    chosen = load_recipe("demo-cpu", ["adapter.target_modules=[qkv_proj]"])
    model = new_model(tiny("phi3"), features, chosen)
    assert sum(isinstance(m, ILoraLinear) for m in model.decoder.modules()) == 2
    with pytest.raises(RecipeError, match=r"q_proj is not in Phi3Model, whose linears are o_proj, qkv_proj"):
        new_model(tiny("phi3"), features, load_recipe("demo-cpu", ["adapter.target_modules=[q_proj]"]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("gate_init", "zero"), ("gate_hidden", 7), ("gate_temperature", 2.0), ("gate", "per_layer")],
)
def test_what_a_recipe_says_of_the_gate_reaches_the_adapter(
    tiny: Callable[[str], Backbone], features: ItemFeatures, field: str, value: object
) -> None:
    recipe = load_recipe("demo-cpu", [f"adapter.{field}={value}"])
    config = new_model(tiny("phi3"), features, recipe).decoder.peft_config["ilora"]
    assert getattr(config, field) == value


# ---------------------------------------------------------------- tokenizers: chat and base, with and without


@pytest.fixture
def opening(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that begins every text with a token of its own, as Llama's and Gemma's do."""
    own = copy.deepcopy(tokenizer)
    start = ("<|im_start|>", own.convert_tokens_to_ids("<|im_start|>"))
    begins = TemplateProcessing(single="<|im_start|> $A", special_tokens=[start])
    own.backend_tokenizer.post_processor = begins
    return own


def test_a_prompt_begins_as_the_tokenizer_begins_texts(
    tokenizer: PreTrainedTokenizerBase, opening: PreTrainedTokenizerBase, movielens: Dataset
) -> None:
    assert opening_ids(tokenizer) == ()
    first = opening_ids(opening)
    assert first == (opening.convert_tokens_to_ids("<|im_start|>"),)
    with_it, without = (Wording.of(t, movielens.catalog) for t in (opening, tokenizer))
    assert with_it.instruction == (*first, *without.instruction)
    assert with_it.titles == without.titles
    assert title_ids(opening, "<|im_start|>") == title_ids(tokenizer, "<|im_start|>")  # a title is data


def test_a_text_reading_leaves_the_opening_token_out(
    tiny: Callable[[str], Backbone], opening: PreTrainedTokenizerBase, movielens: Dataset
) -> None:
    backbone = tiny("llama")
    items = movielens.catalog.items[:2]
    readings = read_items(replace(backbone, tokenizer=opening), items)
    ids = opening(f"Movie: {items[0].title}. Genres: {', '.join(items[0].genres)}.")["input_ids"]
    with torch.inference_mode():
        hidden = backbone.model.get_decoder()(torch.tensor([ids])).last_hidden_state[0, 1:]
    assert torch.allclose(readings[0], hidden.mean(0), atol=1e-4)


def test_no_pad_token_is_needed_and_a_tokenizer_without_an_end_can_only_not_generate(
    tiny: Callable[[str], Backbone],
    encoder: SASRec,
    features: ItemFeatures,
    movielens: Dataset,
    words: Wording,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = new_model(tiny("qwen2"), features, RECIPE)
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = bare.eos_token = None
    padded, endless = words, Wording.of(bare, movielens.catalog)
    assert torch.equal(*(scores(model, encoder, movielens, w) for w in (padded, endless)))
    with pytest.raises(BackboneError, match="no answer could"):
        replace(endless, stops=()).answer(3)
