"""SASRec as a baseline: the very encoder that routes, ranking by itself (Kang & McAuley 2018)."""

from collections.abc import Sequence

from core.data.dataset import Case
from core.encoder import SASRec
from core.errors import DataError
from core.evaluation.baselines import pick
from core.routing import Floats, History, Indices
from core.training.encoder_training import fit_encoder, history_scores
from core.training.recipe import EncoderRecipe


class SASRecBaseline:
    """Scores by a SASRec encoder, after the last 10 items of a history.

    Args:
        validation: cases that choose the best epoch; part of training, hence given here.
        recipe, seed: how `fit` trains.
    """

    encoder: SASRec

    def __init__(
        self, validation: Sequence[Case] = (), recipe: EncoderRecipe | None = None, seed: int = 1
    ) -> None:
        self.validation, self.seed = validation, seed
        self.recipe = recipe or EncoderRecipe.model_validate({})

    @classmethod
    def of(cls, encoder: SASRec) -> "SASRecBaseline":
        """Around an encoder that is trained already: the one of a run or a bundle."""
        baseline = cls()
        baseline.encoder = encoder.eval()
        return baseline

    def fit(self, train: Sequence[History], num_items: int) -> "SASRecBaseline":
        """Training sequences and N -> self, at the epoch with the best NDCG@10 on the full catalogue.

        Raises:
            DataError: there are no validation cases to choose the epoch.
        """
        if not self.validation:
            raise DataError("SASRec stops at its best epoch on validation users: give it validation cases.")
        self.encoder = fit_encoder(train, self.validation, num_items, self.recipe, self.seed).encoder
        return self

    def score(self, histories: Sequence[History], candidates: Indices | None = None) -> Floats:
        """Histories (B of them) -> [B, N] float32, or [B, C] for candidates [B, C] int64."""
        return pick(history_scores(self.encoder, histories), candidates)
