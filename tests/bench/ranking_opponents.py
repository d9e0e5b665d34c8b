"""Row 3: ranking twenty candidates as it is done elsewhere, on our own backbone object and token for token.

Each opponent reads people packed by `core.packing`, so both sides see the same tokens at the same positions;
it computes logits where a title is and nowhere else; people are batched as ours are.

Shapes: U people, C candidates, P positions of the longest shared part, T of the longest branch, H width.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from core.packing import Packed, pack_branches
from core.ranker import Ranker
from core.ranking_model import BASE, Mixture, RankingModel
from tests.bench.people import People


@dataclass(frozen=True)
class Asked:
    """People and how they are asked: "base" reads titles, an adapter reads item tokens."""

    people: People
    adapter: str
    gate: Tensor  # [U, K]

    @property
    def text_only(self) -> bool:
        return self.adapter == BASE


def _pack(asked: Asked, histories: list[tuple[int, ...]], candidates: list[list[int]]) -> Packed:
    w = asked.people.wording
    return pack_branches(
        w.instruction, histories, w.question, candidates, w.titles, asked.text_only, w.separator
    )


@torch.inference_mode()
def ours(ranker: Ranker, asked: Asked) -> Tensor:
    """One pass over everybody: history once, candidates as branches. [U, C]; titles without their prior."""
    model, people = ranker.model, asked.people
    packed = _pack(asked, list(people.histories), people.candidates.tolist())
    if asked.text_only:
        return model.title_scores(packed)
    chosen = torch.from_numpy(people.candidates)
    return model.branch_scores(packed, chosen, asked.adapter, Mixture(weights=asked.gate))


@torch.inference_mode()
def separate(ranker: Ranker, asked: Asked) -> Tensor:
    """C sequences a person, each with the whole history: one batch of U * C rows, plain causal attention."""
    model, people = ranker.model, asked.people
    count = people.candidates.shape[1]
    histories = [history for history in people.histories for _ in range(count)]
    single = people.candidates.reshape(-1, 1)
    packed = replace(_pack(asked, histories, single.tolist()), mask=None)  # one branch a row: causal says it
    if asked.text_only:
        return model.title_scores(packed).view(-1, count)
    mixture = Mixture(weights=asked.gate.repeat_interleave(count, 0))
    return model.branch_scores(packed, torch.from_numpy(single), asked.adapter, mixture).view(-1, count)


@torch.inference_mode()
def repeated_cache(ranker: Ranker, asked: Asked) -> Tensor:
    """The shared part read once, its keys and values repeated C times, the branches as a batch on top."""
    model, people = ranker.model, asked.people
    count = people.candidates.shape[1]
    packed = _pack(asked, list(people.histories), people.candidates.tolist())
    inputs = model._inputs(packed, asked.adapter)  # (U, S, H)
    shared = packed.prefix_end + 1  # (U,)
    longest = int(shared.max())
    source = torch.arange(longest) - (longest - shared).unsqueeze(1)  # (U, P): padding on the left, < 0
    seen = (source >= 0).long()
    prefix = _take(inputs, source.clamp_min(0))
    starts = torch.cat([shared.unsqueeze(1), packed.branch_end[:, :-1] + 1], 1)  # (U, C)
    lengths = packed.branch_end - starts + 1
    steps = torch.arange(int(lengths.max()))
    at = (starts.unsqueeze(-1) + steps).clamp_max(inputs.shape[1] - 1)  # (U, C, T)
    branches = _take(inputs, at.flatten(1)).view(-1, len(steps), inputs.shape[-1])  # (U * C, T, H)
    with _answering(model, asked.adapter):
        first = model.decoder(
            inputs_embeds=prefix,
            attention_mask=seen,
            position_ids=source.clamp_min(0),
            past_key_values=DynamicCache(config=model.decoder.config),
            use_cache=True,
            **_mixture(model, asked, 1),
        )
        first.past_key_values.batch_repeat_interleave(count)
        real = (steps < lengths.unsqueeze(-1)).view(-1, len(steps)).long()  # (U * C, T)
        then = model.decoder(
            inputs_embeds=branches,
            attention_mask=torch.cat([seen.repeat_interleave(count, 0), real], 1),
            position_ids=shared.repeat_interleave(count).unsqueeze(1) + steps,
            past_key_values=first.past_key_values,
            use_cache=True,
            **_mixture(model, asked, count),
        ).last_hidden_state
    if asked.text_only:
        words = packed.words.gather(1, at.flatten(1)).view(-1, len(steps))
        return _likelihood(model, first.last_hidden_state[:, -1], then, words, real).view(-1, count)
    last = then[torch.arange(len(then)), lengths.flatten() - 1].view(len(shared), count, -1)
    # The history's own state scores the catalogue: it stands where the question begins.
    ends = packed.history_end + (longest - shared)
    state = first.last_hidden_state[torch.arange(len(ends)), ends].unsqueeze(1)
    scores = model.space(asked.adapter).scores(state).squeeze(1)
    chosen = scores.gather(1, torch.from_numpy(people.candidates))
    return chosen + model.branches[asked.adapter](last)


def _likelihood(model: RankingModel, shared: Tensor, then: Tensor, words: Tensor, real: Tensor) -> Tensor:
    """Sum of each title's log-likelihood: shared [U, H], then [U * C, T, H], words and real [U * C, T]."""
    count = len(then) // len(shared)
    before = torch.cat([shared.repeat_interleave(count, 0).unsqueeze(1), then[:, :-1]], 1)  # (U * C, T, H)
    where = real.bool()
    found = (
        model._word_logits(before[where]).log_softmax(-1).gather(-1, words[where].unsqueeze(-1)).squeeze(-1)
    )
    owner = torch.arange(len(then)).unsqueeze(1).expand_as(words)[where]
    return found.new_zeros(len(then)).index_add(0, owner, found)


def _take(inputs: Tensor, at: Tensor) -> Tensor:
    return inputs.gather(1, at.unsqueeze(-1).expand(-1, -1, inputs.shape[-1]))


def _answering(model: RankingModel, adapter: str) -> AbstractContextManager[object]:
    if adapter == BASE:
        return model.decoder.disable_adapter()
    model.decoder.set_adapter(adapter, inference_mode=True)
    return nullcontext()


def _mixture(model: RankingModel, asked: Asked, times: int) -> dict[str, Tensor]:
    if asked.adapter not in model.gated:
        return {}
    return {"gate_weights": asked.gate.repeat_interleave(times, 0)}


def asked_of(people: People, adapter: str, gate: np.ndarray | None = None) -> Asked:
    """`gate` [U, K] is needed by adapters with experts."""
    weights = torch.zeros(len(people.histories), 1) if gate is None else torch.from_numpy(gate)
    return Asked(people, adapter, weights)
