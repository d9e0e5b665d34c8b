"""Where items live for the language model: one token going in, one vector to be scored against coming out.

Catalogue mode (one item = one token) after the hybrid prompt of LLaRA (arXiv 2312.02445, section 3.2): an
item's
token is its projected collaborative vector plus its projected text vector. The user vector, projected from
the backbone's last state, is scored against (collaborative + text) vectors of the whole catalogue.

Shapes: B batch, N items, D encoder width, H backbone width, P text components.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ItemFeatures:
    """What is known of each item before the language model is trained; frozen.

    Attributes:
        collaborative: [N, D] float32, the encoder's item vectors; zero rows for items unseen in training.
        text: [N, P] float32, whitened principal components of the frozen model's reading of each item.
        known: [N] bool, whether the item occurs in training.
        scale: what collaborative numbers are divided by; None: their spread. Told where the catalogue has
            grown: adapters know tokens by the spread that they were trained at.
    """

    collaborative: Tensor
    text: Tensor
    known: Tensor
    scale: float | None = None

    @property
    def scale_now(self) -> float:
        """`scale`, or the spread of the collaborative numbers of known items."""
        if self.scale is not None:
            return self.scale
        return float(self.collaborative[self.known].std().clamp_min(1e-6))


class OutputExperts(nn.Module):
    """Experts on the projection from the backbone's state to the user vector, as on the linears before it:
    ``s * B ((A h) * repeat_interleave(w, R/K))`` (arXiv 2408.10159, section 3.3).

    Args:
        hidden: H. width: D. rank: R of all experts together. num_experts: K.
        alpha: LoRA's; the scale is alpha / (R/K).
    """

    def __init__(self, hidden: int, width: int, rank: int, num_experts: int, alpha: float) -> None:
        super().__init__()
        self.num_experts, self.expert_rank = num_experts, rank // num_experts
        self.scaling = alpha / self.expert_rank
        self.A = nn.Parameter(torch.empty(rank, hidden))
        self.B = nn.Parameter(torch.zeros(width, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)

    @classmethod
    def fitting(cls, space: Mapping[str, Tensor], num_experts: int, alpha: float) -> "OutputExperts | None":
        """Of the shape of those in the state of an item space; None where it has none."""
        if "experts.A" not in space:
            return None
        (rank, hidden), width = space["experts.A"].shape, len(space["experts.B"])
        return cls(hidden, width, rank, num_experts, alpha)

    def forward(self, state: Tensor, mixture: Tensor | None) -> Tensor:
        """States [..., H] and their people's mixtures [..., K] -> what is added to user vectors, [..., D]."""
        assert mixture is not None
        inner = state @ self.A.T * self.scaling  # (..., R)
        adapted: Tensor = (inner * mixture.repeat_interleave(self.expert_rank, -1)) @ self.B.T
        return adapted


class ItemSpace(nn.Module):
    """Item tokens and catalogue scores for one adapter.

    Args:
        features: frozen item features (also the start of the trainable output vectors).
        hidden: H, the backbone's width.
        embedding_norm: typical L2 norm of the backbone's input embeddings; item tokens start at that length.
        dropout: on tokens and on the user vector.
        item_dropout: chance that an item's collaborative part is dropped whole in training (of its token and,
            drawn anew, of its output vector): text alone must do (new items), and the encoder's memory of
            its training rows is trusted less.
        experts: what adapts the user vector's projection per person; None: one projection for everybody.
    """

    collaborative: Tensor
    text: Tensor
    known: Tensor

    def __init__(
        self,
        features: ItemFeatures,
        hidden: int,
        embedding_norm: float,
        dropout: float = 0.2,
        item_dropout: float = 0.1,
        experts: OutputExperts | None = None,
    ) -> None:
        super().__init__()
        n, d = features.collaborative.shape
        p = features.text.shape[1]
        self.register_buffer("collaborative", features.collaborative / features.scale_now, persistent=False)
        self.register_buffer("text", features.text, persistent=False)
        self.register_buffer("known", features.known, persistent=False)
        self.token_collaborative = nn.Linear(d, hidden, bias=False)
        self.token_text = nn.Linear(p, hidden)
        self.token_scale = nn.Parameter(torch.tensor(embedding_norm))
        self.user = nn.Linear(hidden, d)
        self.vector_text = nn.Linear(p, d, bias=False)
        self.vectors = nn.Parameter(features.collaborative.clone())
        self.bias = nn.Parameter(torch.zeros(n))
        self.dropout = nn.Dropout(dropout)
        self.item_dropout = item_dropout
        self.experts = experts
        self._served: tuple[object, Tensor] | None = None
        nn.init.normal_(self.vector_text.weight, std=0.02 / p**0.5)

    def freeze_scores(self) -> None:
        """Train the item tokens alone: generate mode reads items but scores none."""
        for part in (self.user, self.vector_text):
            part.requires_grad_(False)
        self.vectors.requires_grad_(False)
        self.bias.requires_grad_(False)

    def _keep(self) -> Tensor:
        """[N, 1] of 0/1, drawn anew by each call in training: which items show their collaborative part."""
        keep = self.known
        if self.training and self.item_dropout > 0:
            keep = keep & (torch.rand(len(keep), device=keep.device) >= self.item_dropout)
        return keep.to(self.vectors.dtype).unsqueeze(-1)

    def token_table(self) -> Tensor:
        """Tokens of the whole catalogue, [N, H] float32, each of about the backbone's embedding length."""
        table: Tensor = self.dropout(self._place(self.collaborative * self._keep(), self.text))
        return table

    def tokens(self, items: Tensor) -> Tensor:
        """Tokens of these items, [...] int64 -> [..., H] float32: rows of `token_table`.

        The whole table is made only where it is the smaller work, and in training, where one draw of what is
        dropped holds for an item wherever it occurs.
        """
        if self.training or items.numel() >= len(self.known):
            return nn.functional.embedding(items, self.token_table())
        known = self.known[items].to(self.vectors.dtype).unsqueeze(-1)
        return self._place(self.collaborative[items] * known, self.text[items])

    def _place(self, collaborative: Tensor, text: Tensor) -> Tensor:
        """Features [..., D] and [..., P] -> tokens [..., H], before dropout."""
        token = self.token_collaborative(collaborative) + self.token_text(text)
        unit = token / token.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        placed: Tensor = unit * self.token_scale
        return placed

    def scores(self, state: Tensor, mixture: Tensor | None = None) -> Tensor:
        """Backbone states [..., H] -> scores of the whole catalogue [..., N] float32.

        Args:
            mixture: [..., K] of each state's person, where experts adapt the projection.
        """
        user = self.user(state.float())
        if self.experts is not None:
            user = user + self.experts(state.float(), mixture)
        user = self.dropout(user)  # (..., D)
        scores: Tensor = user @ self._item_vectors().T + self.bias
        return scores

    def _item_vectors(self) -> Tensor:
        """What users are scored against, [N, D]; kept while serving, until what it is made of changes."""
        if self.training or torch.is_grad_enabled():
            return self.vectors * self._keep() + self.vector_text(self.text)
        made_of = (self.vectors, self.vector_text.weight, self.text, self.known)
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in made_of)
        if self._served is None or self._served[0] != state:
            self._served = state, self.vectors * self._keep() + self.vector_text(self.text)
        return self._served[1]
