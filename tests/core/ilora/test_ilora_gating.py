"""How a batch's mixture comes to the layers, on every road, and what is said when it does not."""

import pytest
import torch
from peft import get_peft_model
from torch.testing import assert_close

from core.errors import RecipeError
from core.ilora import AdapterError, ILoraConfig

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
IDS = torch.tensor([[504, 3575, 282, 260], [1, 2, 33, 444], [9, 88, 777, 6]])


def answer(model, **inputs):
    with torch.no_grad():
        return model(**inputs, use_cache=False).last_hidden_state


@pytest.fixture
def ours(lm, stir):
    model = get_peft_model(lm.model, ILoraConfig(r=8, num_experts=4, lora_alpha=16, gate_width=5)).eval()
    stir(model)
    return model


def test_gate_kwargs_never_reach_the_base_model(lm, stir, embeds, mixtures):
    decoder = lm.model
    seen: list[str] = []
    for module in (decoder.layers[0], decoder.layers[0].self_attn, decoder.layers[0].mlp):
        module.register_forward_pre_hook(lambda _, args, kwargs: seen.extend(kwargs), with_kwargs=True)
    ours = get_peft_model(lm, ILoraConfig(r=8, num_experts=4, task_type="CAUSAL_LM", gate_width=5)).eval()
    sequence = torch.randn(3, 5)
    with torch.no_grad():
        ours(input_ids=IDS, gate_weights=mixtures)
        ours(inputs_embeds=embeds, sequence=sequence)
        ours.base_model(input_ids=IDS, sequence=sequence)
        ours.get_base_model()(input_ids=IDS, gate_weights=mixtures)
        ours.generate(input_ids=IDS, gate_weights=mixtures, max_new_tokens=2, do_sample=False)
        ours.generate(input_ids=IDS, sequence=sequence, max_new_tokens=2, do_sample=False)
        with ours.disable_adapter():
            ours(input_ids=IDS, gate_weights=mixtures)
    assert "attention_mask" in seen  # the spy sees what does arrive
    assert not {"gate_weights", "sequence"} & set(seen)


def test_outer_language_model_shares_the_decoders_experts(ours, lm, mixtures):
    states = answer(ours, input_ids=IDS, gate_weights=mixtures)
    with torch.no_grad():
        logits = lm(input_ids=IDS, gate_weights=mixtures).logits
        assert_close(logits, lm.lm_head(states), **CLOSE)


def test_sequence_is_mixed_by_the_adapters_own_gate(ours, embeds):
    sequence = torch.randn(3, 5)
    by_sequence = answer(ours, inputs_embeds=embeds, sequence=sequence)
    mixture = ours.last_gate
    assert_close(mixture, ours.base_model.experts_gate["default"](sequence).detach())
    assert_close(mixture.sum(-1), torch.ones(3))
    assert_close(by_sequence, answer(ours, inputs_embeds=embeds, gate_weights=mixture), **CLOSE)


def test_missing_gate_is_an_error_and_never_uniform(ours, embeds, mixtures):
    answer(ours, inputs_embeds=embeds, gate_weights=mixtures)  # and the last batch's gate is not used again
    with pytest.raises(AdapterError, match="gate_weights="):
        ours(inputs_embeds=embeds)
    assert ours.last_gate is None
    with pytest.raises(AdapterError, match="gate_weights="):
        ours.base_model.adapted[0](embeds)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gate_weights": torch.ones(2, 4)}, "2 rows, the batch 3"),
        ({"gate_weights": torch.ones(1, 4)}, "1 rows, the batch 3"),
        ({"gate_weights": torch.ones(3, 5)}, r"takes \[B, 4\]"),
        ({"gate_weights": torch.ones(4)}, r"takes \[B, 4\]"),
        ({"gate_weights": torch.ones(3, 4, 4)}, r"takes \[B, 4\]"),
        ({"sequence": torch.ones(3, 6)}, r"reads \[B, 5\]"),
        ({"sequence": torch.ones(2, 5)}, "2 rows, the batch 3"),
        ({"sequence": torch.ones(3, 5), "gate_weights": torch.ones(3, 4)}, "not both"),
    ],
)
def test_wrong_gate_is_a_clear_error(ours, embeds, given, sentence):
    with pytest.raises(AdapterError, match=sentence):
        ours(inputs_embeds=embeds, **given)


def test_wrong_rows_are_seen_by_a_layer_called_on_its_own(ours, embeds):
    ours.set_gate(torch.ones(2, 4))
    with pytest.raises(AdapterError, match="2 rows, the batch 3"):
        ours.base_model.adapted[0](embeds)


def test_set_gate_serves_the_batches_that_bring_none(ours, embeds, mixtures):
    given = answer(ours, inputs_embeds=embeds, gate_weights=mixtures)
    other = answer(ours, inputs_embeds=embeds, gate_weights=mixtures.roll(1, 0))
    ours.set_gate(mixtures)
    assert_close(answer(ours, inputs_embeds=embeds), given)
    assert_close(answer(ours, inputs_embeds=embeds, gate_weights=mixtures.roll(1, 0)), other)
    assert_close(answer(ours, inputs_embeds=embeds), given)
    ours.set_gate(None)
    with pytest.raises(AdapterError):
        ours(inputs_embeds=embeds)


def test_pinned_gate_serves_everybody(ours, embeds, mixtures):
    pinned = mixtures[0]
    given = answer(ours, inputs_embeds=embeds, gate_weights=pinned.expand(3, 4))
    ours.pin_gate(pinned)
    assert_close(answer(ours, inputs_embeds=embeds), given, **CLOSE)
    assert_close(ours.last_gate, pinned.unsqueeze(0))
    ours.pin_gate(None)
    with pytest.raises(AdapterError):
        ours(inputs_embeds=embeds)


def test_plain_lora_ignores_a_gate(lm, stir, embeds, mixtures):
    plain = get_peft_model(lm.model, ILoraConfig(r=8, num_experts=1)).eval()
    stir(plain)
    without = answer(plain, inputs_embeds=embeds)
    assert_close(answer(plain, inputs_embeds=embeds, gate_weights=mixtures), without)
    assert_close(answer(plain, inputs_embeds=embeds, sequence=mixtures), without)
    assert plain.last_gate is None


def test_per_layer_gate_mixes_each_layer_with_its_own_row(lm, stir, embeds):
    config = ILoraConfig(r=8, num_experts=4, lora_alpha=16, gate="per_layer", gate_width=5)
    ours = get_peft_model(lm.model, config).eval()
    stir(ours)
    mixture = torch.randn(3, 4, 4).softmax(-1)  # (B, layers, K), both four here
    whole = answer(ours, inputs_embeds=embeds, gate_weights=mixture)
    inside: list[torch.Tensor] = []
    for index, layer in enumerate(ours.get_base_model().layers):
        for linear in (layer.self_attn.q_proj, layer.mlp.down_proj):
            assert linear.layer_index == index
            rows = ours.base_model.context.rows(index).squeeze(1) / config.scaling
            inside.append(rows[:, ::2])  # each expert's weight stands R/K = 2 times
            assert_close(inside[-1], mixture[:, index])
    changed = mixture.clone()
    changed[:, 3] = changed[:, 3].roll(1, -1)
    assert not torch.allclose(answer(ours, inputs_embeds=embeds, gate_weights=changed), whole, atol=1e-3)

    shared = mixture[:, 0]  # one mixture for all layers is welcome too: a what-if
    by_hand = answer(ours, inputs_embeds=embeds, gate_weights=shared.unsqueeze(1).expand(3, 4, 4))
    assert_close(answer(ours, inputs_embeds=embeds, gate_weights=shared), by_hand, **CLOSE)
    answer(ours, inputs_embeds=embeds, sequence=torch.randn(3, 5))
    assert ours.last_gate.shape == (3, 4, 4)


@pytest.mark.parametrize(
    "how",
    [
        {"num_beams": 3, "do_sample": False},
        {"num_beams": 3, "num_return_sequences": 2, "do_sample": False},
        {"num_beams": 1, "do_sample": False},
    ],
)
def test_generation_keeps_each_rows_mixture_through_beams(lm, stir, how):
    ours = get_peft_model(lm, ILoraConfig(r=8, num_experts=4, lora_alpha=600, task_type="CAUSAL_LM")).eval()
    stir(ours)
    gates = torch.eye(4)[:3]  # as different as mixtures can be
    same_prompt = IDS[:1].expand(3, 4)
    returned = how.get("num_return_sequences", 1)

    def generate(rows, gate):
        return ours.generate(
            input_ids=rows, attention_mask=torch.ones_like(rows), gate_weights=gate, max_new_tokens=5,
            min_new_tokens=5, pad_token_id=0, **how,
        )  # fmt: skip

    together = generate(same_prompt, gates)
    alone = [generate(same_prompt[i : i + 1], gates[i : i + 1]) for i in range(3)]
    assert together.shape == (3 * returned, 9)
    assert torch.equal(together, torch.cat(alone))
    assert len({str(rows.tolist()) for rows in alone}) == 3  # the mixture is what tells them apart
    with pytest.raises(AdapterError, match="no gate"):  # the gate ends with the generation
        ours(input_ids=IDS)


@pytest.mark.parametrize("gate", ["shared", "per_layer"])
@pytest.mark.parametrize("given", ["sequence", "gate_weights"])
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_gives_same_gradients(lm, stir, embeds, gate, given, use_reentrant):
    config = ILoraConfig(r=8, num_experts=4, lora_alpha=16, gate=gate, gate_width=5, gate_hidden=6)
    ours = get_peft_model(lm.model, config)
    stir(ours)
    ours.train()
    sequence = torch.randn(3, 5)
    weights = torch.randn(3, 4).softmax(-1).requires_grad_()
    inputs = {"sequence": sequence} if given == "sequence" else {"gate_weights": weights}

    def gradients() -> dict[str, torch.Tensor]:
        ours.zero_grad()
        weights.grad = None
        x = embeds.clone().requires_grad_()
        ours(inputs_embeds=x, use_cache=False, **inputs).last_hidden_state.square().mean().backward()
        named = dict(ours.named_parameters()) | {"x": x, "weights": weights}
        return {name: p.grad.clone() for name, p in named.items() if p.grad is not None}

    plain = gradients()
    ours.get_base_model().gradient_checkpointing_enable({"use_reentrant": use_reentrant})
    checkpointed = gradients()
    assert plain.keys() == checkpointed.keys()
    assert ("weights" in plain) != any("experts_gate" in name for name in plain)
    for name, gradient in plain.items():
        assert gradient.abs().max() > 0, name
        assert_close(checkpointed[name], gradient, atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"r": 8, "num_experts": 3}, "divide r"),
        ({"num_experts": 0}, "divide r"),
        ({"lora_dropout": 1.0}, "lora_dropout=1.0"),
        ({"gate": "each"}, 'gate="each"'),
        ({"gate_width": 0}, "gate_width=0"),
        ({"gate_temperature": 0.0}, "gate_temperature=0.0"),
        ({"gate_init": "ones"}, 'gate_init="ones"'),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_a_sentence(wrong, sentence):
    with pytest.raises(RecipeError, match=sentence):
        ILoraConfig(**wrong)
