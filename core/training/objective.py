"""The loss: full softmax at every supervised position (catalogue mode), listwise over candidates (branch), or
the language model's own over the answer's tokens (generate)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.encoder import SASRec
from core.gate_reading import GateReading
from core.packing import Packed
from core.ranking_model import Mixture, RankingModel
from core.training.rows import IGNORED


class Objective(nn.Module):
    """What HF's Trainer trains: the ranking model with its frozen encoder, batch in, loss out.

    Args:
        model: the ranking model with one trainable adapter.
        encoder: frozen; gives the gate its sequence vectors, always without dropout.
        adapter: the adapter's name.
        reading: what the gate is given in place of those vectors, when the run is a control.
    """

    def __init__(
        self, model: RankingModel, encoder: SASRec, adapter: str, reading: GateReading | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.encoder = encoder.requires_grad_(False).eval()
        self.adapter, self.reading = adapter, reading or GateReading()

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        self.encoder.eval()
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
        targets: Tensor,
        candidates: Tensor | None = None,
        mask: Tensor | None = None,
        hybrid: Tensor | None = None,
    ) -> dict[str, Any]:
        """One batch (see `core.packing.Packed`).

        Args:
            gate_history: [B, L'] what the gate reads; ends before the first supervised position.
            users: [B] int64, whose rows they are.
            targets: catalogue mode [B, T] right-aligned, IGNORED where unsupervised; branch mode [B], the
                column; generate mode [B, T] the answers' tokens, left-aligned, IGNORED behind them.
            candidates: branch mode: [B, C].
            hybrid: generate mode: [B] bool, which prompts carry item tokens.

        Returns:
            loss (scalar, mean over targets), hits and targets (counts), gate [B, K] or None.
        """
        packed = Packed(words, items, positions, mask, history_end, prefix_end, branch_end)
        with torch.no_grad():
            sequence = self.reading.read(self.encoder.last_state(gate_history), users, gate_history)
        mixture = Mixture(sequence=sequence)
        if hybrid is not None:
            supervised = targets != IGNORED
            scores = self.model.answer_logits(packed, supervised, self.adapter, mixture)
            wanted = targets[supervised]
        elif candidates is None:
            scores = self.model.catalogue_scores(packed, self.adapter, mixture, tail=targets.shape[1])
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
