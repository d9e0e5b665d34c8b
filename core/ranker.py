"""The ranker as everybody outside training uses it: routing and histories in, scores out.

Independent of batch-mates, of padding and of the candidates' order (tolerances in tests/core/test_ranker.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import DataError
from core.packing import Packed, pack_branches, pack_catalogue
from core.prompt import Wording
from core.ranking_model import BASE, Mixture, Question, RankingModel
from core.routing import History, Routing

Mode = Literal["catalogue", "branch", "title"]


@dataclass(frozen=True)
class Ask:
    """What one adapter is asked about a person; the fields are `Ranker.score`'s, with B = 1."""

    adapter: str
    mode: Mode
    candidates: NDArray[np.int64] | None = None
    gate: NDArray[np.float32] | None = None


class Ranker:
    """Scores by one of three modes on one backbone.

    Args:
        model: backbone, adapters, item spaces and heads.
        wording: token ids of the instruction and of every title.
        history_length: L, the last items of a history that are read (at most 50).
        title_prior: [N] float32, each title's log-likelihood after no history; subtracted in title mode, so
            that a title is not preferred for being a common phrase (pointwise mutual information).
        batch_size: rows per forward pass in catalogue mode; branch and title modes use a quarter of it.
    """

    def __init__(
        self,
        model: RankingModel,
        wording: Wording,
        history_length: int,
        title_prior: Tensor,
        batch_size: int = 64,
    ) -> None:
        self.model, self.wording, self.history_length = model.eval(), wording, history_length
        self.title_prior, self.batch_size = title_prior, batch_size

    @torch.inference_mode()
    def score(
        self,
        routing: Routing,
        histories: Sequence[History],
        candidates: NDArray[np.int64] | None = None,
        adapter: str = "ilora",
        gate: NDArray[np.float32] | None = None,
        mode: Mode = "catalogue",
    ) -> Tensor:
        """Scores of B people.

        Args:
            routing: of the same B histories; its gate is used unless `gate` [B, K] overrides it.
            histories: B histories, oldest first; only the last `history_length` items are read.
            candidates: [B, C] catalogue indices; needed by branch and title modes.
            adapter: "base" is possible in title mode only (the untrained backbone cannot read item tokens).
            mode: catalogue, branch or title.

        Returns:
            [B, C] float32 with candidates, else [B, N].

        Raises:
            DataError: mode, adapter and candidates do not fit together.
        """
        _check(mode, adapter, candidates)
        self._stop_training()
        weights = _weights(routing, gate)
        kept = [list(h[-self.history_length :]) for h in histories]
        step = self.batch_size if mode == "catalogue" else max(1, self.batch_size // 4)
        parts = []
        for start in range(0, len(kept), step):
            rows = slice(start, start + step)
            chosen = None if candidates is None else torch.from_numpy(np.ascontiguousarray(candidates[rows]))
            parts.append(self._score_rows(kept[rows], chosen, adapter, weights[rows], mode).cpu())
        return torch.cat(parts)

    @torch.inference_mode()
    def score_together(self, routing: Routing, history: History, asks: Sequence[Ask]) -> list[Tensor]:
        """One person's scores by several adapters, from one pass: for each ask what `score` returns, B = 1.

        Equal to asking one after the other up to rounding, and cheaper: the backbone's weights are read once.

        Raises:
            DataError: as `score`.
        """
        for ask in asks:
            _check(ask.mode, ask.adapter, ask.candidates)
        self._stop_training()
        device, kept = self.model.device, [list(history[-self.history_length :])]
        chosen = [None if ask.candidates is None else torch.from_numpy(ask.candidates) for ask in asks]
        questions = [
            Question(
                self._pack(kept, candidates, ask.mode).to(device),
                ask.adapter,
                Mixture(weights=_weights(routing, ask.gate).to(device)),
            )
            for ask, candidates in zip(asks, chosen, strict=True)
        ]
        return [
            self._read(hidden, asked.packed, candidates, ask.adapter, ask.mode, asked.mixture).cpu()
            for hidden, asked, candidates, ask in zip(
                self.model.states_together(questions), questions, chosen, asks, strict=True
            )
        ]

    def _stop_training(self) -> None:
        if self.model.training:  # asked first: to tell every module takes a tenth of a short pass
            self.model.eval()

    def _score_rows(
        self, histories: list[list[int]], candidates: Tensor | None, adapter: str, weights: Tensor, mode: Mode
    ) -> Tensor:
        device = self.model.device
        packed = self._pack(histories, candidates, mode).to(device)
        mixture = Mixture(weights=weights.to(device))
        hidden = self.model.states(packed, adapter, mixture)
        return self._read(hidden, packed, candidates, adapter, mode, mixture)

    def _pack(self, histories: list[list[int]], candidates: Tensor | None, mode: Mode) -> Packed:
        w = self.wording
        if mode == "catalogue":
            return pack_catalogue(w.instruction, histories)
        assert candidates is not None
        return pack_branches(
            w.instruction,
            histories,
            w.question,
            candidates.tolist(),
            w.titles,
            text_only=mode == "title",
            separator=w.separator,
        )

    def _read(
        self,
        hidden: Tensor,
        packed: Packed,
        candidates: Tensor | None,
        adapter: str,
        mode: Mode,
        mixture: Mixture,
    ) -> Tensor:
        """Scores [B, C] or [B, N] of the states [B, S, H] that a pass left."""
        if mode == "catalogue":
            scores = self.model.read_catalogue(hidden, packed, adapter, mixture).squeeze(1)  # (B, N)
            return scores if candidates is None else scores.gather(1, candidates.to(scores.device))
        assert candidates is not None
        if mode == "branch":
            return self.model.read_branches(hidden, packed, candidates.to(hidden.device), adapter, mixture)
        return self.model.read_titles(hidden, packed).cpu() - self.title_prior[candidates]


def _check(mode: Mode, adapter: str, candidates: NDArray[np.int64] | None) -> None:
    """Raise DataError where mode, adapter and candidates do not fit together."""
    if (mode == "title") != (adapter == BASE):
        raise DataError(
            f'adapter "{adapter}" cannot rank in {mode} mode: "base" ranks by title, the others do not'
        )
    if mode != "catalogue" and candidates is None:
        raise DataError(f"{mode} mode needs candidates: [B, C] catalogue indices")


def _weights(routing: Routing, gate: NDArray[np.float32] | None) -> Tensor:
    """The mixtures [B, K] that are used: `gate` before the router's."""
    return torch.from_numpy(np.ascontiguousarray(routing.gate if gate is None else gate, dtype=np.float32))
