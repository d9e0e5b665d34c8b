"""The run's own alarms fire on planted failures and stay silent on a healthy gate."""

import math

import pytest
import torch

from core.training.alarms import gate_alarms, overfitting_alarm
from core.training.trainer import gate_numbers


def test_a_healthy_gate_raises_no_alarm() -> None:
    gates = torch.distributions.Dirichlet(torch.full((4,), 2.0)).sample((500,))
    assert gate_alarms(gate_numbers(gates)) == []
    assert gate_alarms({"loss": 1.0}) == []  # LoRA has no gate


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        (
            torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]]),
            ["Expert 2 is dead", "Expert 3 is dead"],
        ),
        (torch.eye(4)[torch.arange(100) % 4], ["has collapsed"]),
        (torch.full((100, 4), 0.25), ["ignores its input"]),
    ],
)
def test_each_planted_failure_is_named(gates: torch.Tensor, words: list[str]) -> None:
    alarms = gate_alarms(gate_numbers(gates))
    assert len(alarms) == len(words)
    assert all(word in alarm for word, alarm in zip(words, alarms, strict=True))


def test_layers_that_differ_do_not_hide_that_people_do_not() -> None:
    layers = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]])  # (layers, K), everybody's
    [alarm] = gate_alarms(gate_numbers(layers.expand(100, 2, 4)))
    assert "ignores its input: shares differ between people by 0.0000" in alarm
    people = torch.distributions.Dirichlet(torch.full((4,), 2.0)).sample((100, 2))
    assert gate_alarms(gate_numbers(people)) == []
    by_hand = torch.stack([people[:, 0].std(0), people[:, 1].std(0)]).mean().item()
    assert gate_numbers(people)["gate_spread"] == pytest.approx(by_hand)


def test_a_gate_that_reads_titles_has_no_excuse_for_ignoring_them() -> None:
    assert len(gate_alarms(gate_numbers(torch.full((100, 4), 0.25)), "tokens")) == 1


@pytest.mark.parametrize("shape", [(1, 4), (1, 3, 4)])
def test_one_row_says_nothing_of_differences_between_people(shape: tuple[int, ...]) -> None:
    numbers = gate_numbers(torch.full(shape, 0.25))
    assert "gate_spread" not in numbers and all(math.isfinite(value) for value in numbers.values())
    assert gate_alarms(numbers) == []


def test_numbers_of_a_gate_are_what_a_hand_count_gives() -> None:
    numbers = gate_numbers(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    assert numbers["gate_entropy"] == pytest.approx(0.5 * 0.693147, abs=1e-5)
    assert (numbers["gate_share_0"], numbers["gate_share_1"]) == (0.75, 0.25)


def test_a_falling_validation_is_reported_with_both_numbers() -> None:
    assert overfitting_alarm(0.50, 0.49) == []
    assert overfitting_alarm(0.50, 0.45) == [
        "Overfitting: validation HR@1 fell from 0.500 to 0.450; the best weights were kept."
    ]


@pytest.mark.parametrize("experts", [4, 16, 64])
def test_an_expert_is_dead_by_its_part_of_an_equal_share(experts: int) -> None:
    torch.manual_seed(0)
    even = torch.distributions.Dirichlet(torch.full((experts,), 2.0)).sample((4000,))
    assert gate_alarms(gate_numbers(even)) == []
    even[:, 0] *= 0.05
    assert [alarm[:16] for alarm in gate_alarms(gate_numbers(even / even.sum(1, keepdim=True)))] == [
        "Expert 0 is dead"
    ]
