"""Has a gate collapsed? Its numbers on real people, and on planted collapses that the alarms must notice.

A mixture of experts can fail without an error: one expert takes everybody, some serve nobody, or everybody
gets the same mixture whatever he did. A training run watches for these (`core.training.alarms`); here the
same alarms are shown gates that were broken on purpose.

Shapes: n people, D encoder width, K experts.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.data.dataset import Split
from core.encoder import TorchRouter
from core.errors import RunError
from core.evaluation.asking import route_cases
from core.evaluation.buckets import UserClusters
from core.gate import Gate
from core.studies.finding import Finding
from core.training.alarms import gate_alarms
from core.training.trainer import gate_numbers

NAME = "collapse"
QUESTION = "Do all experts serve somebody, does the gate listen, and would an alarm tell if not?"
PUSH = 20.0
"""Added to or taken from logits where a collapse is planted: e^20 to one."""
SHUFFLES = 200


@dataclass(frozen=True)
class GateHealth:
    """One gate on n people.

    Attributes:
        entropy: mean entropy of a person's mixture, in nats; at most ln K.
        shares: [K] mean weight of every expert.
        dead: experts whose share is below `alarms.DEAD_SHARE` of an equal one.
        spread: mean over experts of the standard deviation of their weight between people.
        information: mutual information of expert and person in nats, where an expert is drawn by the person's
            mixture: H(mean mixture) minus mean H(mixture). 0 where everybody gets the same, at most ln K.
        clusters: mutual information of leading expert and cluster of people, in nats.
        clusters_by_chance: its mean when the leading experts are dealt out anew.
        alarms: what a run would say.
    """

    entropy: float
    shares: tuple[float, ...]
    dead: int
    spread: float
    information: float
    clusters: float
    clusters_by_chance: float
    alarms: tuple[str, ...]


def health(gate: Tensor, clusters: list[str], seed: int = 0) -> GateHealth:
    """Mixtures [n, K] and the people's clusters (n labels) -> the gate's numbers and alarms."""
    numbers = gate_numbers(gate)
    weights = gate.double()
    mean = weights.mean(0)
    leaders = weights.argmax(-1).numpy()
    _, groups = np.unique(np.array(clusters), return_inverse=True)
    generator = np.random.default_rng(seed)
    chance = [mutual_information(generator.permutation(leaders), groups) for _ in range(SHUFFLES)]
    alarms = gate_alarms(numbers)
    return GateHealth(
        entropy=numbers["gate_entropy"],
        shares=tuple(mean.tolist()),
        dead=sum(alarm.startswith("Expert") for alarm in alarms),
        spread=numbers["gate_spread"],
        information=max(0.0, _entropy(mean) - float(np.mean([_entropy(row) for row in weights]))),
        clusters=mutual_information(leaders, groups),
        clusters_by_chance=float(np.mean(chance)),
        alarms=tuple(alarms),
    )


def mutual_information(a: "np.typing.NDArray[np.int64]", b: "np.typing.NDArray[np.int64]") -> float:
    """Of two labellings of the same n people, in nats, as counted (no correction for small n)."""
    together = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(together, (a, b), 1.0 / len(a))
    apart = together.sum(1, keepdims=True) * together.sum(0, keepdims=True)
    there = together > 0
    return float((together[there] * np.log(together[there] / apart[there])).sum())


def _entropy(weights: Tensor) -> float:
    return float(-(weights * weights.clamp_min(1e-300).log()).sum())


def planted(gate: Gate) -> dict[str, Gate]:
    """The gate broken on purpose, by what was done to it."""
    return {
        "one expert for everybody": _changed(
            gate, lambda last: last.bias.view(-1, gate.num_experts)[:, 0].add_(PUSH)
        ),
        "one expert for nobody": _changed(
            gate, lambda last: last.bias.view(-1, gate.num_experts)[:, 0].sub_(PUSH)
        ),
        "the same mixture for everybody": _changed(gate, lambda last: last.weight.zero_()),
    }


def _changed(gate: Gate, change: Callable[[nn.Linear], object]) -> Gate:
    broken = deepcopy(gate)
    last = broken.network[-1] if isinstance(broken.network, nn.Sequential) else broken.network
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        change(last)
    return broken


def collapse(router: TorchRouter, split: Split, seed: int = 0) -> Finding:
    """A trained gate and its broken copies on the test users' histories; what they chose next is not read.

    Raises:
        RunError: the router has no gate, or too few people to be grouped.
    """
    if router.gate is None:
        raise RunError("Plain LoRA has no gate that could collapse: name a run of iLoRA.")
    if len(split.test) < 8:
        raise RunError(f"{len(split.test)} people are too few: a gate is judged on eight or more.")
    sequence = route_cases(router, split.test).sequence
    clusters = list(UserClusters.fit(sequence, seed).labels(sequence))
    gates = {"trained": router.gate, **planted(router.gate)}
    told = {}
    for name, gate in gates.items():
        with torch.inference_mode():
            mixtures: Tensor = gate(torch.from_numpy(sequence).to(next(gate.parameters())))
        mixtures = mixtures.float().cpu()
        told[name] = health(
            mixtures.flatten(1, -2).mean(1) if mixtures.dim() == 3 else mixtures, clusters, seed
        )
    numbers = {
        "n": len(sequence),
        "experts": router.gate.num_experts,
        "gates": {name: asdict(one) for name, one in told.items()},
    }
    return Finding(NAME, QUESTION, sentence(told, len(sequence)), numbers)


def sentence(told: dict[str, GateHealth], n: int) -> str:
    """What was found, with n."""
    trained, broken = told["trained"], [one for name, one in told.items() if name != "trained"]
    noticed = sum(bool(one.alarms) for one in broken)
    shares = " ".join(f"{share:.2f}" for share in trained.shares)
    state = "no alarm" if not trained.alarms else " ".join(trained.alarms)
    experts = len(trained.shares)
    return (
        f"On {n:,} people the trained gate's mean shares are {shares}, its mean entropy "
        f"{trained.entropy:.2f} of {np.log(experts):.2f} nats, {trained.dead} of {experts} experts are dead, "
        f"and expert and person share {trained.information:.3f} nats (leading expert and cluster "
        f"{trained.clusters:.2f}, by chance {trained.clusters_by_chance:.2f}): {state}. Of {len(broken)} "
        f"planted collapses the alarms noticed {noticed}."
    )
