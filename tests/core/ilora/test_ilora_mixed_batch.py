"""One batch of several adapters answers as each adapter alone would: PEFT's own `adapter_names=`."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from core.ilora import BARE, AdapterError, ILoraConfig

# Of float32, in states that reach 10 and more: products of another height sum in another order.
ROUNDING = 1e-4
NAMES = ["ilora", "ilora", BARE, "lora", BARE, "ilora"]


@pytest.fixture
def model(lm: PreTrainedModel, stir) -> PeftModel:
    """iLoRA, LoRA and another iLoRA on one decoder."""
    model = get_peft_model(lm.model, ILoraConfig(num_experts=4, gate_width=8), adapter_name="ilora")
    model.add_adapter("lora", ILoraConfig(num_experts=1))
    model.add_adapter("other", ILoraConfig(num_experts=4, gate_width=8))
    for seed, name in enumerate(("ilora", "lora", "other")):
        stir(model, name, seed)
    return model.eval()


@pytest.fixture
def rows() -> Tensor:
    return torch.randn(len(NAMES), 7, 576, generator=torch.Generator().manual_seed(3)) * 0.1


@pytest.fixture
def gate() -> Tensor:
    return torch.randn(len(NAMES), 4, generator=torch.Generator().manual_seed(4)).softmax(-1)


def alone(model: PeftModel, name: str, x: Tensor, **mixture: Tensor) -> Tensor:
    """What one adapter, or the bare backbone, says to rows of its own."""
    if name == BARE:
        with model.disable_adapter():
            return model(inputs_embeds=x).last_hidden_state
    model.set_adapter(name)
    return model(inputs_embeds=x, **(mixture if name != "lora" else {})).last_hidden_state


@torch.inference_mode()
def test_every_row_is_answered_by_its_own_adapter(model: PeftModel, rows: Tensor, gate: Tensor) -> None:
    together = model(inputs_embeds=rows, gate_weights=gate, adapter_names=NAMES).last_hidden_state
    answers = []
    for row, name in enumerate(NAMES):
        one = slice(row, row + 1)
        answers.append(alone(model, name, rows[one], gate_weights=gate[one]))
    assert (together - torch.cat(answers)).abs().max() < ROUNDING
    by_name = dict(zip(NAMES, answers, strict=True))
    differ = (by_name["ilora"] - alone(model, BARE, rows[-1:])).abs().max()
    assert differ > 100 * ROUNDING, "the adapters must matter, or this test could not fail"


@torch.inference_mode()
def test_rows_of_one_adapter_are_bit_for_bit_what_the_active_adapter_says(
    model: PeftModel, rows: Tensor, gate: Tensor
) -> None:
    names = ["ilora"] * len(rows)
    named = model(inputs_embeds=rows, gate_weights=gate, adapter_names=names).last_hidden_state
    assert torch.equal(named, alone(model, "ilora", rows, gate_weights=gate))
    bare = model(inputs_embeds=rows, adapter_names=[BARE] * len(rows)).last_hidden_state
    assert torch.equal(bare, alone(model, BARE, rows))


@torch.inference_mode()
def test_people_of_unlike_length_share_one_row(model: PeftModel, rows: Tensor, gate: Tensor) -> None:
    lengths, names = [7, 2, 5], [BARE, "lora", "ilora"]
    parts = [rows[i : i + 1, :length] for i, length in enumerate(lengths)]
    mask = torch.block_diag(*[torch.ones(n, n).tril() for n in lengths]).bool()
    positions = torch.cat([torch.arange(n) for n in lengths])
    together = model(
        inputs_embeds=torch.cat(parts, dim=1),
        attention_mask=mask[None, None],
        position_ids=positions[None],
        gate_weights=gate[:3],
        adapter_names=names,
        adapter_lengths=lengths,
    ).last_hidden_state
    apart = [
        alone(model, n, x, gate_weights=gate[i : i + 1])
        for i, (n, x) in enumerate(zip(names, parts, strict=True))
    ]
    assert (together - torch.cat(apart, dim=1)).abs().max() < ROUNDING


@torch.inference_mode()
def test_each_adapter_s_own_gate_reads_its_own_people(model: PeftModel, rows: Tensor) -> None:
    sequence = torch.randn(len(rows), 8, generator=torch.Generator().manual_seed(5))
    names = ["other", "ilora", "ilora", BARE, "other", "lora"]
    together = model(inputs_embeds=rows, sequence=sequence, adapter_names=names).last_hidden_state
    for row, name in enumerate(names):
        one = slice(row, row + 1)
        answer = alone(model, name, rows[one], sequence=sequence[one])
        assert (together[one] - answer).abs().max() < ROUNDING, (row, name)


@torch.inference_mode()
def test_a_pinned_gate_serves_its_adapter_s_rows(model: PeftModel, rows: Tensor, gate: Tensor) -> None:
    model.base_model.pin_gate(gate[0], "other")
    names = ["lora", "other", "other", BARE, "lora", "other"]
    pinned = model(inputs_embeds=rows, adapter_names=names).last_hidden_state
    given = gate[:1].expand(len(rows), -1)
    assert torch.equal(pinned, model(inputs_embeds=rows, gate_weights=given, adapter_names=names)[0])


def test_gradients_are_those_of_separate_passes(model: PeftModel, rows: Tensor) -> None:
    names = ["ilora", "ilora", BARE, "lora", "lora", "ilora"]
    sequence = torch.randn(len(rows), 8, generator=torch.Generator().manual_seed(5))
    trained = {n: p for n, p in model.named_parameters() if "experts_" in n and ".other" not in n}
    for parameter in trained.values():
        parameter.requires_grad_(True)
    model(inputs_embeds=rows, sequence=sequence, adapter_names=names)[0].square().sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in trained.items()}
    model.zero_grad()
    for adapter in ("ilora", "lora"):
        mine = [row for row, name in enumerate(names) if name == adapter]
        alone(model, adapter, rows[mine], sequence=sequence[mine]).square().sum().backward()
    for name, parameter in trained.items():
        scale = parameter.grad.abs().max()
        assert scale > 0 and (together[name] - parameter.grad).abs().max() < 1e-4 * scale, name


@torch.inference_mode()
def test_the_next_batch_without_names_is_the_active_adapter_s(
    model: PeftModel, rows: Tensor, gate: Tensor
) -> None:
    model.set_adapter("ilora")
    before = model(inputs_embeds=rows, gate_weights=gate)[0]
    model(inputs_embeds=rows, gate_weights=gate, adapter_names=NAMES)
    assert torch.equal(before, model(inputs_embeds=rows, gate_weights=gate)[0])
    with model.disable_adapter():
        bare = model(inputs_embeds=rows)[0]
        named = model(inputs_embeds=rows, gate_weights=gate, adapter_names=NAMES)[0]
    assert torch.equal(bare, named), "disabled adapters answer nobody, named or not"


@pytest.mark.parametrize(
    ("names", "lengths", "sentence"),
    [
        (["ilora"] * 5, None, "adapter_names has 5 entries, the batch 6 rows"),
        (["nobody"] * 6, None, "adapter_names holds nobody; there is __base__, ilora, lora, other"),
        (["ilora"] * 6, [7] * 6, "does not divide 6 rows of 7 positions"),
        (["ilora"] * 6, None, "was given no gate"),
    ],
)
def test_names_that_do_not_fit_are_refused_in_one_sentence(
    model: PeftModel, rows: Tensor, names: list[str], lengths: list[int] | None, sentence: str
) -> None:
    extra = {} if lengths is None else {"adapter_lengths": lengths}
    with pytest.raises(AdapterError, match=sentence):
        model(inputs_embeds=rows, adapter_names=names, **extra)


def test_a_gate_of_too_few_people_is_refused(model: PeftModel, rows: Tensor, gate: Tensor) -> None:
    with pytest.raises(AdapterError, match="4 rows for 6 adapter_names"):
        model(inputs_embeds=rows, gate_weights=gate[:4], adapter_names=NAMES)


@pytest.mark.parametrize("per_layer", [False, True])
@torch.inference_mode()
def test_people_in_one_row_each_have_their_own_mixture(
    lm: PreTrainedModel, stir, rows: Tensor, gate: Tensor, per_layer: bool
) -> None:
    kind = "per_layer" if per_layer else "shared"
    ours = get_peft_model(lm.model, ILoraConfig(num_experts=4, gate_width=8, gate=kind)).eval()
    stir(ours)
    lengths = [7, 3, 1]
    parts = [rows[i : i + 1, :length] for i, length in enumerate(lengths)]
    mixture = gate[:3]
    if per_layer:
        mixture = torch.randn(3, ours.base_model.num_layers, 4).softmax(-1)
    positions = torch.cat([torch.arange(length) for length in lengths])
    person = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    mask = (person.unsqueeze(0) == person.unsqueeze(1)).tril()
    asked = {
        "inputs_embeds": torch.cat(parts, 1),
        "attention_mask": mask[None, None],
        "position_ids": positions[None],
        "adapter_lengths": lengths,
    }
    together = ours(**asked, gate_weights=mixture).last_hidden_state
    assert torch.equal(ours.base_model.last_gate, mixture)
    apart = [
        ours(inputs_embeds=x, gate_weights=mixture[i : i + 1]).last_hidden_state for i, x in enumerate(parts)
    ]
    assert (together - torch.cat(apart, dim=1)).abs().max() < ROUNDING
    turned = ours(**asked, gate_weights=mixture.flip(0)).last_hidden_state
    assert (turned - together).abs().max() > 100 * ROUNDING, "whose mixture it is must matter"
    with pytest.raises(AdapterError, match="does not divide 1 rows of 11 positions"):
        ours(**{**asked, "adapter_lengths": [7, 3]}, gate_weights=mixture[:2])
    with pytest.raises(AdapterError, match="The gate has 2 rows, the batch 3"):
        ours(**asked, gate_weights=mixture[:2])
