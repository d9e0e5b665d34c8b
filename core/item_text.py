"""What the frozen language model itself knows of each item: one vector per item, read once, before any
training.

Shapes: N items, H backbone width, P text components.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core.catalog import Item
from core.domain import MOVIES, Domain
from core.packing import pack_branches
from core.prompt import Wording, item_description, opening_ids, text_ids
from core.ranking_model import RankingModel
from quant.backbone import Backbone

Watch = Callable[[int, int], None]
"""Told (items done, items in all)."""


def _ignore(done: int, total: int) -> None:
    return


@dataclass(frozen=True)
class TextSpace:
    """Whitened principal components of the readings, fitted on one catalogue; places new items in the same
    space.

    Attributes:
        mean: [H] float32.
        basis: [H, P] float32; the components of fitted items have unit variance.
    """

    mean: Tensor
    basis: Tensor

    @classmethod
    def fit(cls, readings: Tensor, components: int) -> "TextSpace":
        """readings [N, H] -> the space of the strongest min(P, N - 1, H) components."""
        mean = readings.mean(0)
        spread = readings.std(0).clamp_min(1e-6)
        scaled = ((readings - mean) / spread).double()
        _, singular, right = torch.linalg.svd(scaled, full_matrices=False)
        kept = min(components, len(readings) - 1, readings.shape[1])
        # The sign of a singular vector is arbitrary: fix it, so that every machine gets the same space.
        signs = right[:kept].gather(1, right[:kept].abs().argmax(1, keepdim=True)).sign()
        whitening = len(readings) ** 0.5 / singular[:kept].clamp_min(1e-9)
        basis = (right[:kept] * signs).T * whitening / spread.double().unsqueeze(1)
        return cls(mean, basis.float())

    def place(self, readings: Tensor) -> Tensor:
        """readings [N, H] -> text vectors [N, P] float32."""
        return (readings - self.mean) @ self.basis


@torch.inference_mode()
def read_items(
    backbone: Backbone,
    items: Sequence[Item],
    batch_size: int = 64,
    watch: Watch = _ignore,
    domain: Domain = MOVIES,
) -> Tensor:
    """Mean last hidden state over each item's description (title with year, genres): [N, H] float32.

    What the tokenizer sets before a text is read, but not part of the mean.
    """
    decoder = backbone.model.get_decoder()
    tokenizer: PreTrainedTokenizerBase = backbone.tokenizer
    opening = opening_ids(tokenizer)
    texts = [(*opening, *text_ids(tokenizer, item_description(item, domain))) for item in items]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # equal lengths together: less padding
    readings = torch.zeros(len(texts), backbone.hidden_size)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        longest = max(len(texts[i]) for i in rows)
        words = torch.tensor(
            [[*texts[i], *[0] * (longest - len(texts[i]))] for i in rows], device=backbone.device
        )
        real = torch.tensor([[1.0] * len(texts[i]) + [0.0] * (longest - len(texts[i])) for i in rows])
        real[:, : len(opening)] = 0  # says nothing of the item, and its state is many times as long as others
        hidden = decoder(input_ids=words, use_cache=False).last_hidden_state.float().cpu()  # (B, S, H)
        readings[rows] = (hidden * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True)
        watch(min(start + batch_size, len(order)), len(order))
    return readings


@torch.inference_mode()
def title_priors(
    model: RankingModel,
    wording: Wording,
    chunk: int = 64,
    watch: Watch = _ignore,
    items: Sequence[int] | None = None,
) -> Tensor:
    """Log-likelihood of each title after no history, [N] float32 nats (what mutual information subtracts).

    Args:
        items: only of these.
    """
    wanted = range(len(wording.titles)) if items is None else items
    total = len(wanted)
    parts = [torch.zeros(0)]
    for start in range(0, total, chunk):
        candidates = [list(wanted[start : start + chunk])]
        packed = pack_branches(
            wording.instruction, [[]], wording.question, candidates, wording.titles, True, wording.separator
        ).to(model.device)
        parts.append(model.title_scores(packed).squeeze(0).cpu())
        watch(min(start + chunk, total), total)
    return torch.cat(parts)
