"""Adapters in eight bits: small, near, alike for every component, and stable when done again."""

import pytest
import torch

from core.adapter_storage import SCALE, from_eight_bits, in_eight_bits

A, B, GATE = "layers.0.q_proj.experts_A", "layers.0.q_proj.experts_B", "experts_gate.network.weight"


@pytest.fixture
def adapter() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    sizes = torch.logspace(-6, 1, 16)  # components a thousandfold apart
    return {
        A: torch.randn(16, 576) * sizes.unsqueeze(1),
        B: torch.randn(192, 16) * sizes,
        GATE: torch.randn(16, 64),
    }


def test_every_component_is_rounded_alike_however_large_it_grew(adapter: dict[str, torch.Tensor]) -> None:
    again = from_eight_bits(in_eight_bits(adapter))
    for key, axis in ((A, 1), (B, 0)):
        error = (again[key] - adapter[key]).std(dim=axis) / adapter[key].std(dim=axis)
        assert 0 < float(error.max()) < 0.012, key
    assert again.keys() == adapter.keys()
    assert again[GATE] is adapter[GATE]


def test_it_takes_a_quarter_of_the_room(adapter: dict[str, torch.Tensor]) -> None:
    kept = in_eight_bits(adapter)
    assert kept[A].dtype == kept[B].dtype == torch.int8
    assert kept[A + SCALE].shape == kept[B + SCALE].shape == (16,)


def test_doing_it_again_changes_nothing(adapter: dict[str, torch.Tensor]) -> None:
    once = in_eight_bits(adapter)
    twice = in_eight_bits(from_eight_bits(once))
    assert all(torch.equal(once[key], twice[key]) for key in once) and once.keys() == twice.keys()


def test_components_that_never_moved_stay_at_zero() -> None:
    kept = from_eight_bits(in_eight_bits({B: torch.zeros(192, 16)}))
    assert torch.equal(kept[B], torch.zeros(192, 16))


def test_what_is_not_in_eight_bits_is_read_as_it_is(adapter: dict[str, torch.Tensor]) -> None:
    half = {key: value.bfloat16() for key, value in adapter.items()}
    assert all(from_eight_bits(half)[key] is half[key] for key in half)
