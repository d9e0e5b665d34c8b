"""The loss: full softmax at every supervised position (catalogue mode), listwise over candidates (branch), or
the language model's own over the answer's tokens (generate)."""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoder import SASRec
from core.gate_reading import GateReading
from core.packing import Packed
from core.ranking_model import Mixture, RankingModel
from core.training.cross_fitting import others_opinion, others_states, tail_states
from core.training.rows import IGNORED


class Objective(nn.Module):
    """What HF's Trainer trains: the ranking model with its frozen encoder, batch in, loss out.

    Args:
        model: the ranking model with one trainable adapter.
        encoder: frozen; gives the gate its sequence vectors, always without dropout.
        adapter: the adapter's name.
        reading: what the gate is given in place of those vectors, when the run is a control.
        folds: cross-fitted encoders; none: the language model learns alone.
        residual: how much of their log-probabilities is added to its scores.
        maps: of the folds' states into the encoder's space; with them the gate reads the folds' states.
    """

    def __init__(
        self,
        model: RankingModel,
        encoder: SASRec,
        adapter: str,
        reading: GateReading | None = None,
        folds: Sequence[SASRec] = (),
        residual: float = 0.0,
        maps: Sequence[Tensor] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.encoder = encoder.requires_grad_(False).eval()
        self.adapter, self.reading = adapter, reading or GateReading()
        # Modules and buffers, so that they stand on the device of the batches; frozen, as the encoder is.
        self.folds = nn.ModuleList(fold.requires_grad_(False).eval() for fold in folds)
        self.residual, self.reads_folds = residual, bool(maps)
        for fold, to_served in enumerate(maps):
            self.register_buffer(f"map_{fold}", to_served, persistent=False)

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        self.encoder.eval()
        self.folds.eval()
        return self

    def forward(
        self,
        words: Tensor,
        items: Tensor,
        positions: Tensor,
        history_end: Tensor,
        prefix_end: Tensor,
        branch_end: Tensor,
        gate_history: Tensor,
        users: Tensor,
        gate_users: Tensor,
        targets: Tensor,
        candidates: Tensor | None = None,
        mask: Tensor | None = None,
        hybrid: Tensor | None = None,
        history: Tensor | None = None,
    ) -> dict[str, Any]:
        """One batch (see `core.packing.Packed`).

        Args:
            gate_history: [B, L'] what the gate reads; ends before the first supervised position.
            users: [B] int64, whose rows they are.
            gate_users: [B] int64, whose items `gate_history` is: encoders that know its owner do not read it.
            targets: catalogue mode [B, T] right-aligned, IGNORED where unsupervised; branch mode [B], the
                column; generate mode [B, T] the answers' tokens, left-aligned, IGNORED behind them.
            candidates: branch mode: [B, C].
            hybrid: generate mode: [B] bool, which prompts carry item tokens.

        Returns:
            loss (scalar, mean over targets), hits and targets (counts), gate [B, K] or None.
        """
        packed = Packed(words, items, positions, mask, history_end, prefix_end, branch_end)
        with torch.no_grad():
            states = self._states(gate_history, gate_users, 1)[:, 0]  # (B, D)
            sequence = self.reading.read(states, users, gate_history)
            each = None
            if history is not None and self.reading.reads == "history":
                each = self._states(history, users, targets.shape[1])
        mixture = Mixture(sequence=sequence, each=each)
        if hybrid is not None:
            supervised = targets != IGNORED
            scores = self.model.answer_logits(packed, supervised, self.adapter, mixture)
            wanted = targets[supervised]
        elif candidates is None:
            scores = self.model.catalogue_scores(packed, self.adapter, mixture, tail=targets.shape[1])
            if self.residual:
                assert history is not None
                said = others_opinion(self._others, history, users, targets.shape[1])
                scores = scores + self.residual * said
            supervised = targets != IGNORED
            scores, wanted = scores[supervised], targets[supervised]
        else:
            scores, wanted = self.model.branch_scores(packed, candidates, self.adapter, mixture), targets
        loss = F.cross_entropy(scores, wanted)
        hits = (scores.detach().argmax(-1) == wanted).sum()
        return {
            "loss": loss,
            "hits": hits,
            "targets": torch.tensor(len(wanted)),
            "gate": self.model.last_gate(),
        }

    @property
    def _others(self) -> list[SASRec]:
        return [cast(SASRec, fold) for fold in self.folds]

    def _states(self, history: Tensor, users: Tensor, tail: int) -> Tensor:
        """What is known of the last `tail` prefixes of a history, [B, tail, D]."""
        if self.reads_folds:
            maps = [self.get_buffer(f"map_{fold}") for fold in range(len(self.folds))]
            return others_states(self._others, maps, history, users, tail)
        return tail_states(self.encoder, history, tail)
