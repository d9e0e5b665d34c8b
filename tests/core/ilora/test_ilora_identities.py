"""What the method *is*: its identities against stock LoRA and against a naive sum over experts."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from torch import Tensor, nn
from torch.testing import assert_close

from core.ilora import ILoraConfig, split_into_loras

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
EXACT = {"atol": 1e-7, "rtol": 1e-7}
"""In float64: batches of other sizes are summed in another order, which float32 shows at 1e-5."""


class Alone(nn.Module):
    """One linear, so that a property can be asked of one adapted linear."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.project(x)
        return answer


def hidden(model: nn.Module, **inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).last_hidden_state


@pytest.mark.slow
def test_uniform_gate_is_plain_lora_on_the_whole_backbone(smollm, copied, stir, stock_lora, embeds):
    ours = get_peft_model(copied(smollm).model, ILoraConfig(r=8, num_experts=4, lora_alpha=32)).eval()
    stir(ours)
    stock = stock_lora(ours, copied(smollm).model)
    uniform = torch.full((3, 4), 0.25)
    answer = hidden(ours, inputs_embeds=embeds, gate_weights=uniform)
    assert not torch.allclose(answer, hidden(smollm.model, inputs_embeds=embeds), atol=1e-2)
    assert_close(answer, hidden(stock, inputs_embeds=embeds), **CLOSE)


@pytest.mark.parametrize("alpha", [8, 16, 20.5])
def test_uniform_gate_is_plain_lora(lm, shallow, copied, stir, stock_lora, embeds, alpha):
    ours = get_peft_model(lm.model, ILoraConfig(r=8, num_experts=4, lora_alpha=alpha)).eval()
    stir(ours)
    stock = stock_lora(ours, copied(shallow).model)
    answer = hidden(ours, inputs_embeds=embeds, gate_weights=torch.full((3, 4), 0.25))
    assert_close(answer, hidden(stock, inputs_embeds=embeds), **CLOSE)


def test_one_expert_is_stock_lora(lm, shallow, copied, stir, stock_lora, embeds):
    ours = get_peft_model(lm.model, ILoraConfig(r=8, num_experts=1, lora_alpha=16)).eval()
    stir(ours)
    assert len(ours.base_model.experts_gate) == 0
    stock = stock_lora(ours, copied(shallow).model)
    assert_close(hidden(ours, inputs_embeds=embeds), hidden(stock, inputs_embeds=embeds), **CLOSE)


@pytest.mark.parametrize("expert", range(4))
def test_one_hot_gate_is_one_expert(lm, stir, embeds, expert):
    ours = get_peft_model(lm.model, ILoraConfig(r=8, num_experts=4, lora_alpha=16)).eval()
    stir(ours)
    gate = torch.eye(4)[expert].expand(3, 4)
    whole = hidden(ours, inputs_embeds=embeds, gate_weights=gate)
    for layer in ours.base_model.adapted:  # silence the other experts: nothing may change
        a, b = layer.experts_A["default"].data, layer.experts_B["default"].data
        others = torch.arange(8) // 2 != expert
        a[others], b[:, others] = 0.0, 0.0
    assert_close(hidden(ours, inputs_embeds=embeds, gate_weights=gate), whole, **CLOSE)


def test_row_of_a_batch_equals_batch_of_one(shallow, stir, embeds, mixtures):
    embeds, mixtures = embeds.double(), mixtures.double()
    ours = get_peft_model(
        copy.deepcopy(shallow).double().model, ILoraConfig(r=8, num_experts=4, lora_alpha=16)
    ).eval()
    stir(ours)
    together = hidden(ours, inputs_embeds=embeds, gate_weights=mixtures)
    for row in range(3):
        one = slice(row, row + 1)
        alone = hidden(ours, inputs_embeds=embeds[one], gate_weights=mixtures[one])
        assert_close(together[one], alone, **EXACT)
    assert not torch.allclose(
        together, hidden(ours, inputs_embeds=embeds, gate_weights=mixtures.roll(1, 0)), atol=1e-3
    )


@settings(max_examples=40, deadline=None)
@given(
    experts=st.integers(1, 5),
    expert_rank=st.integers(1, 3),
    batch=st.integers(1, 4),
    length=st.sampled_from([None, 1, 5]),
    alpha=st.floats(0.5, 64),
    seed=st.integers(0, 2**16),
)
def test_rank_space_form_equals_naive_sum_over_experts(experts, expert_rank, batch, length, alpha, seed):
    torch.manual_seed(seed)
    model = Alone(6, 5).double()
    bare = model.project
    rank = experts * expert_rank
    config = ILoraConfig(
        r=rank, num_experts=experts, lora_alpha=alpha, gate_width=3, target_modules=["project"]
    )
    ours = get_peft_model(model, config)
    layer = ours.base_model.adapted[0]
    layer.experts_B["default"].data.normal_()
    ours.double()
    a, b = layer.experts_A["default"], layer.experts_B["default"]
    x = torch.randn(batch, 6).double() if length is None else torch.randn(batch, length, 6).double()
    gate = torch.randn(batch, experts).double().softmax(-1)

    naive = bare(x)
    for row in range(batch):
        for k in range(experts):
            block = slice(k * expert_rank, (k + 1) * expert_rank)
            naive[row] += alpha / expert_rank * gate[row, k] * (x[row] @ a[block].T @ b[:, block].T)
    assert_close(ours(x, gate_weights=gate), naive)


def test_k_stock_loras_combined_by_cat_equal_ilora(shallow, stir, embeds, mixtures):
    embeds, mixtures = embeds.double(), mixtures.double()
    ours = get_peft_model(
        copy.deepcopy(shallow).double().model, ILoraConfig(r=8, num_experts=4, lora_alpha=16)
    ).eval()
    stir(ours)
    experts = split_into_loras(ours)
    assert [e.config.r for e in experts] == [2] * 4 and all(type(e.config) is LoraConfig for e in experts)

    stock = get_peft_model(copy.deepcopy(shallow).model, experts[0].config, adapter_name="expert0")
    for k, expert in enumerate(experts):
        if k:
            stock.add_adapter(f"expert{k}", expert.config)
        result = set_peft_model_state_dict(stock, expert.tensors, adapter_name=f"expert{k}")
        assert not result.unexpected_keys
    names = [f"expert{k}" for k in range(4)]
    for person in range(3):
        stock.add_weighted_adapter(
            names, mixtures[person].tolist(), f"person{person}", combination_type="cat"
        )
        stock.double().set_adapter(f"person{person}")
        one = slice(person, person + 1)
        mine = hidden(ours, inputs_embeds=embeds[one], gate_weights=mixtures[one])
        assert_close(
            hidden(stock.eval(), inputs_embeds=embeds[one]), mine, **CLOSE
        )  # PEFT stores the combined factors in float32


@pytest.mark.parametrize("gate_hidden", [None, 6])
def test_gate_gradient_matches_finite_differences(gate_hidden):
    torch.manual_seed(3)
    config = ILoraConfig(
        r=6, num_experts=3, lora_alpha=4, gate_width=4, gate_hidden=gate_hidden, gate_temperature=0.7,
        target_modules=["project"],
    )  # fmt: skip
    ours = get_peft_model(Alone(6, 5), config).double()
    ours.base_model.adapted[0].experts_B["default"].data.normal_()
    x, sequence = torch.randn(2, 3, 6).double(), torch.randn(2, 4).double()

    def loss() -> Tensor:
        return ours(x, sequence=sequence).square().mean()

    loss().backward()
    step = 1e-6
    for parameter in ours.base_model.experts_gate["default"].parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-4
        flat, grad = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(flat.numel()):
            kept = flat[i].item()
            with torch.no_grad():
                flat[i] = kept + step
                up = loss()
                flat[i] = kept - step
                down = loss()
                flat[i] = kept
            assert_close((up - down) / (2 * step), grad[i], atol=1e-7, rtol=1e-5)


def test_masters_are_float32_and_answers_keep_the_compute_dtype(lm_bf16, embeds, mixtures):
    ours = get_peft_model(lm_bf16.model, ILoraConfig(r=8, num_experts=4))
    answer = ours(inputs_embeds=embeds.bfloat16(), gate_weights=mixtures, use_cache=False).last_hidden_state
    assert answer.dtype == torch.bfloat16
    answer.float().square().mean().backward()
    for layer in ours.base_model.adapted:
        for master in (layer.experts_A["default"], layer.experts_B["default"]):
            assert master.dtype == torch.float32 and master.grad is not None
            assert master.grad.dtype == torch.float32
    assert ours.base_model.experts_gate["default"].network.weight.dtype == torch.float32
