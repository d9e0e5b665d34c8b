"""The backbone with its adapters, item spaces and heads: one module that training and serving share.

Three ways to ask it, all one forward pass: `catalogue_scores`, `branch_scores` and `title_scores`; and the
papers' way, `answer_logits` to train and `generate` to ask (DESIGN: the ranker). Several adapters are asked
about one person in one pass by `states_together` and what reads the states.

Shapes: B batch, L history length, S packed positions, C candidates, N items, H backbone width, K experts,
V words, T answer tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedModel

from core.branched_attention import Branching, can_branch, use_branches
from core.gate import Gate
from core.ilora import BARE
from core.item_space import ItemSpace
from core.packing import Packed, apart

BASE = "base"
LOGITS = 6 << 20
"""Logits that are held at once while titles are read: 24 MiB of float32."""


@dataclass(frozen=True)
class Mixture:
    """Which experts each row uses.

    Attributes:
        weights: [B, K], or [B, layers, K], of a router.
        sequence: [B, D] for the torch gate, in their place.
        each: [B, T, D] beside `sequence`, in training: what the gate would read at each of a row's last T
            prefixes. Experts on the user vector's projection, which is asked at each of them, use it.
    """

    weights: Tensor | None = None
    sequence: Tensor | None = None
    each: Tensor | None = None

    def as_kwargs(self) -> dict[str, Tensor]:
        named = {"gate_weights": self.weights, "sequence": self.sequence}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Question:
    """One packed person (B = 1) for one adapter."""

    packed: Packed
    adapter: str
    mixture: Mixture


class BranchHead(nn.Module):
    """A small correction to the catalogue score from a branch's last state: [B, C, H] -> [B, C] float32.

    The last layer starts at zero, so an untrained second stage keeps the first stage's order.
    """

    def __init__(self, hidden: int, width: int = 64) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, 1)
        )
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, states: Tensor) -> Tensor:
        scores: Tensor = self.network(states.float()).squeeze(-1)
        return scores


class RankingModel(nn.Module):
    """A frozen causal language model that reads items.

    Args:
        decoder: the backbone's decoder (no vocabulary head), wrapped by PEFT when there are adapters.
        spaces: per adapter, its items' tokens and vectors.
        branches: per adapter, the second stage's head.
        gated: names of the adapters that have experts (K > 1); the others take no mixture.
        language_model: the whole backbone around the decoder: its embeddings read words, its head foretells
            them, tied to one another or not, and it decodes answers.
    """

    def __init__(
        self,
        decoder: nn.Module,
        spaces: Mapping[str, ItemSpace],
        branches: Mapping[str, BranchHead],
        gated: frozenset[str],
        language_model: PreTrainedModel,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.spaces = nn.ModuleDict(spaces)
        self.branches = nn.ModuleDict(branches)
        self.gated = gated
        # In a tuple: its parameters are the decoder's and are neither saved nor moved twice.
        self._language_model = (language_model,)
        use_branches(language_model)

    @property
    def adapters(self) -> tuple[str, ...]:
        return tuple(self.spaces)

    @property
    def device(self) -> torch.device:
        """Where the backbone lies."""
        return self._embedding.weight.device

    @property
    def _embedding(self) -> nn.Embedding:
        embedding: nn.Embedding = self._language_model[0].get_input_embeddings()
        return embedding

    def space(self, adapter: str) -> ItemSpace:
        space = self.spaces[adapter]
        assert isinstance(space, ItemSpace)
        return space

    def gate_of(self, adapter: str) -> Gate | None:
        """The torch gate of an adapter with experts; None for the others."""
        if adapter not in self.gated:
            return None
        gate = self.decoder.base_model.experts_gate[adapter]  # type: ignore[union-attr,index]
        assert isinstance(gate, Gate)
        return gate

    def last_gate(self) -> Tensor | None:
        """The mixture the last batch used, [B, K] detached; None for an adapter without experts."""
        gate: Tensor | None = getattr(getattr(self.decoder, "base_model", None), "last_gate", None)
        return gate

    @contextmanager
    def _only(self, adapter: str) -> Iterator[None]:
        """Run with one adapter, or with none for the bare backbone."""
        if not isinstance(self.decoder, PeftModel):
            yield
            return
        if adapter != BASE and self.decoder.active_adapter != adapter:
            self.decoder.set_adapter(adapter, inference_mode=not self.training)
        with self.decoder.disable_adapter() if adapter == BASE else nullcontext():
            yield

    def _held(self, adapter: str, mixture: Mixture) -> AbstractContextManager[None]:
        """The mixture through every pass of a generation, for an adapter that has experts."""
        if adapter not in self.gated:
            return nullcontext()
        held: AbstractContextManager[None] = self.decoder.base_model.generating(  # type: ignore[union-attr,operator]
            mixture.weights, mixture.sequence
        )
        return held

    def _inputs(self, packed: Packed, adapter: str) -> Tensor:
        """Words and item tokens as the decoder reads them, [B, S, H]."""
        # By the module, not by its weight: Gemma's scales what it looks up.
        inputs: Tensor = self._embedding(packed.words.clamp_min(0))  # (B, S, H)
        if adapter != BASE:
            items, is_item = packed.items.clamp_min(0), (packed.items >= 0).unsqueeze(-1)
            inputs = torch.where(is_item, self.space(adapter).tokens(items).to(inputs.dtype), inputs)
        return inputs

    def states(self, packed: Packed, adapter: str, mixture: Mixture) -> Tensor:
        """Last hidden states of every position, [B, S, H] in the backbone's compute dtype."""
        gate = mixture.as_kwargs() if adapter in self.gated else {}
        branched = packed.mask is not None and packed.mask.device.type == "cpu" and packed.branch_end.numel()
        if branched and can_branch(self._language_model[0]):
            return self._states_in_a_row(packed, adapter, gate)
        inputs = self._inputs(packed, adapter)
        mask = self._mask(packed.mask, inputs.dtype)
        return self._decoded(adapter, inputs, packed.positions, attention_mask=mask, **gate)

    def _states_in_a_row(self, packed: Packed, adapter: str, gate: Mapping[str, Tensor]) -> Tensor:
        """`states` of branches, everybody in one row: no padding, and no pair that sees nothing."""
        branching = Branching.of(packed)
        row = replace(packed, words=branching.row(packed.words), items=branching.row(packed.items))
        hidden = self._decoded(
            adapter,
            self._inputs(row, adapter),
            branching.row(packed.positions),
            attention_mask=branching.mask(),
            branching=branching,
            **gate,
            **({"adapter_lengths": branching.lengths} if isinstance(self.decoder, PeftModel) else {}),
        )
        return branching.rows(hidden)

    def _decoded(self, adapter: str, inputs: Tensor, positions: Tensor, **kwargs: Any) -> Tensor:
        if adapter == BASE and isinstance(self.decoder, PeftModel):
            # Named person by person: switching an adapter off visits every module of the backbone.
            kwargs["adapter_names"] = [BARE] * len(kwargs.get("adapter_lengths", inputs))
        with nullcontext() if adapter == BASE else self._only(adapter):
            out = self.decoder(inputs_embeds=inputs, position_ids=positions, use_cache=False, **kwargs)
        hidden: Tensor = out.last_hidden_state
        return hidden

    def _mask(self, mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """A 4-D mask as the backbone's attention takes it, which passes it on unread.

        Eager attention (Gemma 2 has no other) adds the mask to its scores: there "may be seen" must be 0 and
        not True, and "may not" the smallest number.
        """
        if mask is None or self._language_model[0].config._attn_implementation != "eager":
            return mask
        return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)

    def _word_logits(self, states: Tensor) -> Tensor:
        """What the backbone's head makes of states [..., H]: [..., V] float32, capped as its class does."""
        model = self._language_model[0]
        logits: Tensor = model.get_output_embeddings()(states).float()
        cap: float | None = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def states_together(self, questions: Sequence[Question]) -> list[Tensor]:
        """Last hidden states of each question, [1, S, H], from one pass: a 4-bit weight is read once for all.

        Equal to asking one by one, up to rounding. Mixtures are weights here, not sequences.
        """
        if not isinstance(self.decoder, PeftModel):
            return [self.states(asked.packed, asked.adapter, asked.mixture) for asked in questions]
        given = {asked.adapter: asked.mixture.weights for asked in questions if asked.adapter in self.gated}
        mixing = {}
        if given:
            nothing = torch.zeros_like(next(iter(given.values())))  # type: ignore[arg-type]
            rows = [asked.mixture.weights if asked.adapter in given else nothing for asked in questions]
            mixing["gate_weights"] = torch.cat(rows)  # type: ignore[arg-type]
        packs = [asked.packed for asked in questions]
        lengths = [pack.words.shape[1] for pack in packs]
        inputs = torch.cat([self._inputs(asked.packed, asked.adapter) for asked in questions], 1)
        attention: dict[str, Any] = {}
        if inputs.device.type == "cpu" and can_branch(self._language_model[0]):
            attention["branching"] = Branching.of_all(packs)
            attention["attention_mask"] = attention["branching"].mask()
        else:
            attention["attention_mask"] = self._mask(apart(packs), inputs.dtype)
        out = self.decoder(
            inputs_embeds=inputs,
            position_ids=torch.cat([asked.packed.positions for asked in questions], 1),
            use_cache=False,
            adapter_names=[BARE if asked.adapter == BASE else asked.adapter for asked in questions],
            adapter_lengths=lengths,
            **attention,
            **mixing,
        )
        hidden: Tensor = out.last_hidden_state
        return list(hidden.split_with_sizes(lengths, dim=1))

    def catalogue_scores(self, packed: Packed, adapter: str, mixture: Mixture, tail: int = 1) -> Tensor:
        """Scores of all N items after each of the last `tail` history positions of a row: [B, tail, N]
        float32.

        Entry [b, -1] is what follows the whole history; [b, -1-j] what follows the history without its last j
        items. Rows shorter than `tail` repeat their first position (the instruction alone).
        """
        return self.read_catalogue(self.states(packed, adapter, mixture), packed, adapter, mixture, tail)

    def read_catalogue(
        self, hidden: Tensor, packed: Packed, adapter: str, mixture: Mixture, tail: int = 1
    ) -> Tensor:
        """`catalogue_scores` of states that are there already."""
        back = torch.arange(tail - 1, -1, -1, device=hidden.device)
        index = (packed.history_end.unsqueeze(1) - back).clamp_min(0)  # (B, tail)
        return self.space(adapter).scores(_gather(hidden, index), self._output_mixture(adapter, mixture))

    def _output_mixture(self, adapter: str, mixture: Mixture) -> Tensor | None:
        """[B, 1 or tail, K]: what mixes the experts on the user vector's projection; None where none are."""
        gate = self.gate_of(adapter)
        if gate is None or self.space(adapter).experts is None:
            return None
        mixed = mixture.weights
        if mixed is None:
            read = mixture.each if mixture.each is not None else mixture.sequence
            assert read is not None
            mixed = gate(read.float())  # (B, ..., K) or (B, ..., layers, K)
            mixed = mixed if gate.layers == 1 else mixed[..., -1, :]
        elif mixed.dim() == 3:
            mixed = mixed[:, -1]
        return mixed if mixed.dim() == 3 else mixed.unsqueeze(1)

    def branch_scores(self, packed: Packed, candidates: Tensor, adapter: str, mixture: Mixture) -> Tensor:
        """Scores of C candidates, each read as a branch, [B, C] float32: catalogue score + the branch's
        correction.

        Both come from the same pass: the history's states are untouched by the branches behind it.
        """
        return self.read_branches(self.states(packed, adapter, mixture), packed, candidates, adapter, mixture)

    def read_branches(
        self, hidden: Tensor, packed: Packed, candidates: Tensor, adapter: str, mixture: Mixture
    ) -> Tensor:
        """`branch_scores` of states that are there already."""
        first = (
            self.read_catalogue(hidden, packed, adapter, mixture).squeeze(1).gather(1, candidates)
        )  # (B, C)
        correction: Tensor = self.branches[adapter](_gather(hidden, packed.branch_end))
        return first + correction

    def title_scores(self, packed: Packed) -> Tensor:
        """Log-likelihood of each candidate's title under the bare backbone, [B, C] float32 nats."""
        return self.read_titles(self.states(packed, BASE, Mixture()), packed)

    def read_titles(self, hidden: Tensor, packed: Packed) -> Tensor:
        """`title_scores` of states that are there already."""
        where, owners = [], []
        size, count = packed.words.shape[1], packed.branch_end.shape[1]
        for row, (prefix, ends) in enumerate(zip(packed.prefix_end.tolist(), packed.branch_end, strict=True)):
            starts = torch.cat([ends.new_tensor([prefix]), ends[:-1]]) + 1  # (C,) where each title begins
            where.append(row * size + torch.arange(prefix + 1, int(ends[-1]) + 1, device=ends.device))
            owners.append(row * count + torch.repeat_interleave(ends - starts + 1))
        words, owner = torch.cat(where), torch.cat(owners)  # every word of every title, and whose it is
        # A word is foretold by the one before it, a title's first by the shared part.
        begins = torch.cat([owner.new_ones(1), owner[1:] - owner[:-1]]).bool()
        shared = (owner // count) * size + packed.prefix_end[owner // count]
        before = torch.where(begins, shared, words - 1)
        told = self._log_likelihood(hidden.flatten(0, 1)[before], packed.words.flatten()[words])
        return told.new_zeros(len(hidden) * count).index_add(0, owner, told).view(-1, count)

    def _log_likelihood(self, states: Tensor, words: Tensor) -> Tensor:
        """states [n, H] foretell words [n]: [n] float32 nats. Some at a time: the logits of all of them would
        be memory that the system clears page by page."""
        vocabulary = self._embedding.weight.shape[0]
        step = max(1, LOGITS // vocabulary)
        parts = [slice(start, start + step) for start in range(0, len(words), step)]
        told = [cross_entropy(self._word_logits(states[p]), words[p], reduction="none") for p in parts]
        return -torch.cat(told)

    def answer_logits(self, packed: Packed, asked: Tensor, adapter: str, mixture: Mixture) -> Tensor:
        """Vocabulary logits where an answer token is foretold, and nowhere else: [asked, V] float32.

        Args:
            asked: [B, T] bool: entry [b, t] is the answer's token t, which the state of position
                `prefix_end` + t foretells.
        """
        hidden = self.states(packed, adapter, mixture)
        steps = torch.arange(asked.shape[1], device=hidden.device)
        at = (packed.prefix_end.unsqueeze(1) + steps).clamp_max(hidden.shape[1] - 1)  # (B, T)
        return self._word_logits(_gather(hidden, at)[asked])

    @torch.inference_mode()
    def generate(
        self, packed: Packed, adapter: str, mixture: Mixture, stops: Sequence[int], longest: int
    ) -> Tensor:
        """Greedy answers to prompts that end at `prefix_end`: [B, T <= longest] int64 token ids.

        The mixture is held fixed through all steps. What stands behind a row's first stop is padding.
        """
        inputs = self._inputs(packed, adapter)  # (B, S, H)
        size = inputs.shape[1]
        # Padding moves to the left, so that every row's next token has the same index in the cache.
        padding = size - 1 - packed.prefix_end  # (B,)
        source = torch.arange(size, device=inputs.device) - padding.unsqueeze(1)  # (B, S), < 0 = padding
        language_model = self._language_model[0]
        # A publisher's own settings (penalties, forced tokens) would fill in what is not said here.
        language_model.generation_config = GenerationConfig()
        greedy = GenerationConfig(
            do_sample=False, max_new_tokens=longest, eos_token_id=list(stops), pad_token_id=stops[0]
        )
        with self._only(adapter), self._held(adapter, mixture):
            answers: Tensor = language_model.generate(
                inputs_embeds=_gather(inputs, source.clamp_min(0)),
                attention_mask=(source >= 0).long(),
                generation_config=greedy,
            )
        return answers


def _gather(hidden: Tensor, index: Tensor) -> Tensor:
    """hidden [B, S, H] at positions [B, T] -> [B, T, H], contiguous."""
    return hidden.gather(1, index.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])).contiguous()
