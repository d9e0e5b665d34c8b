"""An adapter's life: made, trained, saved, loaded, switched, deleted, merged, counted."""

import json
import warnings

import pytest
import torch
from peft import PeftModel, PeftType, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from core.ilora import (
    ILORA,
    AdapterError,
    ILoraConfig,
    ILoraLinear,
    count_parameters,
    half_precision_state,
)

# W + dW is rounded to float32 before the product, and some hidden states of this model are large.
ROUNDED_ONCE_MORE = {"atol": 1e-5, "rtol": 5e-5}


def config(**changes):
    return ILoraConfig(**({"r": 8, "num_experts": 4, "lora_alpha": 16, "gate_width": 5} | changes))


def answer(model, **inputs):
    with torch.no_grad():
        out = model(**inputs, use_cache=False)
    return out.last_hidden_state if hasattr(out, "last_hidden_state") else out.logits


def trainable(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def of_adapter(model, adapter):
    return {name for name, _ in model.named_parameters() if "experts_" in name and f".{adapter}" in name}


def test_peft_knows_the_method_by_name():
    assert PeftType("ILORA") is ILORA is PeftType.ILORA and "ILORA" in list(PeftType)
    assert json.dumps(ILORA) == '"ILORA"'
    assert list(PeftType).count(ILORA) == 1


def test_only_the_experts_and_the_gate_train(lm, embeds):
    ours = get_peft_model(lm.model, config(gate_hidden=3), adapter_name="ilora")
    assert trainable(ours) == of_adapter(ours, "ilora") and any("experts_gate" in n for n in trainable(ours))
    before = {name: p.clone() for name, p in ours.named_parameters()}
    optimizer = torch.optim.SGD([p for p in ours.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # B is zero at first, so A and the gate move from the second step on
        optimizer.zero_grad()
        ours(inputs_embeds=embeds, sequence=torch.randn(3, 5)).last_hidden_state.square().mean().backward()
        optimizer.step()
    moved = {name for name, p in ours.named_parameters() if not torch.equal(p, before[name])}
    assert moved == of_adapter(ours, "ilora")


def test_with_a_gate_and_without_all_else_begins_the_same_on_a_gpu_too(lm, copied, monkeypatch):
    """A is drawn on its linear's device: a GPU that the gate seeds anew would draw others from there on."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    plain, bare = copied(lm).model, lm.model
    torch.manual_seed(7)
    lora = get_peft_model(plain, config(num_experts=1), adapter_name="one")
    torch.manual_seed(7)
    ours = get_peft_model(bare, config(), adapter_name="one")
    assert seeded == [7, 7]
    begun = dict(ours.named_parameters())
    assert all(torch.equal(p, begun[name]) for name, p in lora.named_parameters())
    torch.manual_seed(8)
    assert torch.equal(ours.base_model.experts_gate["one"].network.weight, nn.Linear(5, 4).weight)


@pytest.mark.parametrize("gate_hidden", [None, 3])
@pytest.mark.parametrize("gate", ["shared", "per_layer"])
def test_a_gate_that_begins_at_zero_is_lora_for_everybody_and_learns(lm, embeds, gate, gate_hidden):
    ours = get_peft_model(
        lm.model, config(gate_init="zero", gate=gate, gate_hidden=gate_hidden), adapter_name="ilora"
    )
    sequences = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    mixture = ours.base_model.experts_gate["ilora"]
    assert torch.equal(mixture(sequences), torch.full_like(mixture(sequences), 1 / 4))
    optimizer = torch.optim.SGD([p for p in ours.parameters() if p.requires_grad], lr=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        ours(inputs_embeds=embeds, sequence=sequences).last_hidden_state[..., 0].sum().backward()
        optimizer.step()
    learned = mixture(sequences)
    assert (learned - 1 / 4).abs().max() > 1e-4
    assert (learned[0] - learned[1]).abs().max() > 1e-5, "and differs between people"


@pytest.mark.parametrize("targets", [None, "all-linear", ["q_proj", "v_proj"], r".*\.mlp\.(up|down)_proj"])
def test_targets_are_found(lm, targets):
    ours = get_peft_model(lm, config(target_modules=targets, task_type="CAUSAL_LM"))
    found = {name.split(".")[-1] for name, m in ours.named_modules() if isinstance(m, ILoraLinear)}
    every = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    expected = {"q_proj", "v_proj"} if isinstance(targets, list) else every
    assert found == ({"up_proj", "down_proj"} if targets and "mlp" in targets else expected)
    assert len(ours.base_model.adapted) == 4 * len(found)


def test_layers_to_transform_limits_the_layers(lm):
    ours = get_peft_model(lm.model, config(target_modules=["q_proj"], layers_to_transform=[1, 3]))
    assert [layer.layer_index for layer in ours.base_model.adapted] == [1, 3]


@pytest.mark.parametrize("road", ["decoder", "language model"])
@pytest.mark.parametrize(
    "changes", [{}, {"gate_hidden": 6}, {"gate": "per_layer"}, {"gate_init": "zero"}, {"num_experts": 1}]
)
def test_save_load_round_trip_is_exact(lm, shallow, copied, stir, embeds, tmp_path, road, changes):
    def part(model):
        return model.model if road == "decoder" else model

    task = None if road == "decoder" else "CAUSAL_LM"
    ours = get_peft_model(part(lm), config(task_type=task, **changes), adapter_name="ilora").eval()
    stir(ours, "ilora")
    ours.save_pretrained(tmp_path, selected_adapters=["ilora"])
    folder = tmp_path / "ilora"
    assert sorted(p.name for p in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert not any("ilora" in key for key in load_file(folder / "adapter_model.safetensors"))

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT tells of lost weights by warnings only
        loaded = PeftModel.from_pretrained(part(copied(shallow)), folder, adapter_name="other")
    assert isinstance(loaded.peft_config["other"], ILoraConfig) and not trainable(loaded)
    ours_state = get_peft_model_state_dict(ours, adapter_name="ilora")
    state = get_peft_model_state_dict(loaded, adapter_name="other")
    assert ours_state.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours_state.items())
    sequence = torch.randn(3, 5)
    mine = answer(ours, inputs_embeds=embeds, sequence=sequence)
    assert torch.equal(answer(loaded, inputs_embeds=embeds, sequence=sequence), mine)


def test_saving_twice_writes_the_same_bytes(lm, tmp_path):
    ours = get_peft_model(lm.model, config())
    for folder in ("one", "two"):
        ours.save_pretrained(tmp_path / folder)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    targets = json.loads((tmp_path / "one" / "adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets)


def test_half_precision_state_is_about_half_as_large(lm, tmp_path):
    ours = get_peft_model(lm.model, config())
    ours.save_pretrained(tmp_path / "full")
    ours.save_pretrained(tmp_path / "half", state_dict=half_precision_state(ours))
    half, full = ((tmp_path / f / "adapter_model.safetensors").stat().st_size for f in ("half", "full"))
    assert half < 0.55 * full


@pytest.mark.parametrize("saved", ["full", "half", "all in bfloat16"])
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_masters_are_float32_with_exactly_the_saved_values_on_a_bfloat16_backbone(
    lm, lm_bf16, stir, tmp_path, saved, low_cpu_mem_usage
):
    ours = get_peft_model(lm.model, config())
    stir(ours)
    state = ours.state_dict() if saved == "full" else half_precision_state(ours)
    if saved == "all in bfloat16":
        state = {name: tensor.bfloat16() for name, tensor in state.items()}
    ours.save_pretrained(tmp_path, state_dict=state)
    loaded = PeftModel.from_pretrained(lm_bf16.model, tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
    state = dict(loaded.named_parameters())
    for name, parameter in ours.named_parameters():
        if "experts_" in name:
            kept = saved == "full" or (saved == "half" and "experts_gate" in name)
            expected = parameter if kept else parameter.bfloat16().float()
            assert state[name].dtype == torch.float32 and torch.equal(state[name], expected), name


def test_added_parameters_below_one_percent(smollm, copied):
    model = get_peft_model(copied(smollm).model, ILoraConfig(r=8, num_experts=4, gate_width=64))
    count = count_parameters(model)
    print(f"\nSmolLM2-135M, r 8, K 4, D 64: lora {count.lora:,}, gate {count.gate:,}")
    assert count.gate == 64 * 4 + 4
    assert count.gate < 0.01 * count.lora
    assert count.lora + count.gate == model.get_nb_trainable_parameters()[0]
    model.add_adapter("lora", ILoraConfig(r=8, num_experts=1))
    plain = count_parameters(model, "lora")
    assert (plain.lora, plain.gate) == (count.lora, 0)


def test_several_adapters_on_one_backbone(lm, shallow, copied, stir, embeds, mixtures, tmp_path):
    base = answer(shallow.model, inputs_embeds=embeds)
    ours = get_peft_model(lm.model, config(), adapter_name="ilora").eval()
    stir(ours, "ilora", seed=1)
    first = answer(ours, inputs_embeds=embeds, gate_weights=mixtures)

    ours.add_adapter("lora", config(num_experts=1, r=4))
    ours.add_adapter("pairs", config(num_experts=2, gate_hidden=3))
    stir(ours, "lora", seed=2)
    stir(ours, "pairs", seed=3)
    assert trainable(ours) == of_adapter(ours, "ilora")  # adding changes neither the answer nor what trains
    assert torch.equal(answer(ours, inputs_embeds=embeds, gate_weights=mixtures), first)

    ours.set_adapter("lora")
    assert trainable(ours) == of_adapter(ours, "lora")
    second = answer(ours, inputs_embeds=embeds)
    ours.set_adapter("pairs")
    assert trainable(ours) == of_adapter(ours, "pairs")
    third = answer(ours, inputs_embeds=embeds, gate_weights=mixtures[:, :2])
    answers = [base, first, second, third]
    assert all(not torch.allclose(a, b, atol=1e-2) for i, a in enumerate(answers) for b in answers[:i])

    with ours.disable_adapter():
        assert torch.equal(answer(ours, inputs_embeds=embeds, gate_weights=mixtures), base)
        assert torch.equal(answer(ours, inputs_embeds=embeds), base)
    assert trainable(ours) == of_adapter(ours, "pairs")
    assert torch.equal(answer(ours, inputs_embeds=embeds, gate_weights=mixtures[:, :2]), third)

    ours.save_pretrained(tmp_path, selected_adapters=["pairs"])
    ours.set_adapter("ilora", inference_mode=True)
    assert not trainable(ours)
    assert torch.equal(answer(ours, inputs_embeds=embeds, gate_weights=mixtures), first)
    ours.delete_adapter("pairs")
    assert not of_adapter(ours, "pairs") and list(ours.base_model.experts_gate) == ["ilora"]
    with pytest.raises(AdapterError, match="One adapter"):
        ours.base_model.set_adapter(["ilora", "lora"])

    ours.load_adapter(tmp_path / "pairs", "again", is_trainable=True)
    assert trainable(ours) == of_adapter(ours, "again")
    ours.set_adapter("again")
    assert torch.equal(answer(ours.eval(), inputs_embeds=embeds, gate_weights=mixtures[:, :2]), third)
    with pytest.warns(UserWarning, match="was active"):
        ours.delete_adapter("again")
    assert ours.active_adapter == "ilora"
    assert torch.equal(answer(ours, inputs_embeds=embeds, gate_weights=mixtures), first)


def test_loading_a_second_adapter_leaves_the_first_ones_gate_training(lm, tmp_path):
    ours = get_peft_model(lm.model, config(), adapter_name="first")
    ours.save_pretrained(tmp_path)
    ours.load_adapter(tmp_path / "first", "second")
    assert trainable(ours) == of_adapter(ours, "first") and any("experts_gate" in n for n in trainable(ours))


def test_a_gate_set_for_one_adapter_is_not_used_for_another(lm, embeds, mixtures):
    ours = get_peft_model(lm.model, config(), adapter_name="one").eval()
    ours.add_adapter("two", config())
    ours.set_gate(mixtures)
    ours.set_adapter("two")
    with pytest.raises(AdapterError, match="no gate"):
        ours(inputs_embeds=embeds)


def test_merge_without_pinned_gate_is_refused(lm, stir, embeds, mixtures):
    ours = get_peft_model(lm.model, config()).eval()
    stir(ours)
    given = answer(ours, inputs_embeds=embeds, gate_weights=mixtures)
    for merge in (ours.merge_adapter, ours.merge_and_unload, ours.base_model.adapted[3].merge):
        with pytest.raises(AdapterError, match="pin_gate"):
            merge()
        assert torch.equal(answer(ours, inputs_embeds=embeds, gate_weights=mixtures), given)


@pytest.mark.parametrize("changes", [{}, {"num_experts": 1}, {"gate": "per_layer"}])
def test_merging_a_pinned_gate_answers_the_same_and_is_undone_exactly(lm, stir, embeds, changes):
    ours = get_peft_model(lm.model, config(**changes)).eval()
    stir(ours)
    before = {name: p.clone() for name, p in ours.named_parameters()}
    if "num_experts" not in changes:
        shape = (4, 4) if changes else (4,)
        ours.pin_gate(torch.randn(shape).softmax(-1))
    given = answer(ours, inputs_embeds=embeds)
    ours.merge_adapter()
    assert not torch.equal(before["base_model.model.layers.0.mlp.up_proj.base_layer.weight"],
                           ours.get_base_model().layers[0].mlp.up_proj.base_layer.weight)  # fmt: skip
    assert_close(answer(ours, inputs_embeds=embeds), given, **ROUNDED_ONCE_MORE)
    ours.unmerge_adapter()
    assert all(torch.equal(p, before[name]) for name, p in ours.named_parameters())
    assert torch.equal(answer(ours, inputs_embeds=embeds), given)

    bare = ours.merge_and_unload(safe_merge=True)
    assert not any(isinstance(m, ILoraLinear) for m in bare.modules())
    assert_close(answer(bare, inputs_embeds=embeds), given, **ROUNDED_ONCE_MORE)
    assert not bare._forward_pre_hooks


def test_a_merged_adapter_refuses_another_mixture(lm, stir, embeds, mixtures):
    ours = get_peft_model(lm.model, config()).eval()
    stir(ours)
    ours.pin_gate(mixtures[0])
    ours.merge_adapter()
    with pytest.raises(AdapterError, match="unmerge_adapter"):
        ours(inputs_embeds=embeds, gate_weights=mixtures)


def test_merging_into_bfloat16_rounds_once(stir):
    model = nn.Sequential(nn.Linear(6, 5, bias=False)).bfloat16()
    weight = model[0].weight.detach().clone()
    ours = get_peft_model(model, config(target_modules=["0"]))
    stir(ours)
    gate = torch.tensor([0.1, 0.2, 0.3, 0.4])
    layer = ours.base_model.adapted[0]
    expected = (weight.float() + layer.delta_weight("default", gate).detach()).bfloat16()
    ours.pin_gate(gate)
    ours.merge_adapter()
    assert torch.equal(layer.base_layer.weight, expected) and not torch.equal(expected, weight)


def test_other_modules_than_linears_are_refused():
    with pytest.raises(AdapterError, match="Embedding"):
        get_peft_model(nn.Sequential(nn.Embedding(3, 4)), config(target_modules=["0"]))
