"""Generate mode as the papers ask it: candidates listed in the prompt, an answer decoded word by word.

An answer counts only where it is one candidate's title, whole (HR@1 and ValidRatio: arXiv 2408.10159, section
4.1).

Shapes: n cases, C candidates, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.dataset import Case
from core.evaluation.asking import Progress, ignore, targets_of
from core.evaluation.metrics import Ranks
from core.packing import pack_prompts
from core.ranker import Ranker
from core.ranking_model import BASE, Mixture
from core.routing import HISTORY_AT_TEST, Floats, Indices, Routing

INVALID = -1
"""Column of an answer that is no candidate's title."""


@dataclass(frozen=True)
class Answers:
    """What was answered in n cases.

    Attributes:
        chosen: [n] int64, the candidate's column, or INVALID.
        texts: what was decoded, without the stop.
    """

    chosen: NDArray[np.int64]
    texts: tuple[str, ...]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """[n] bool: the answer is one candidate's title."""
        return self.chosen != INVALID

    @property
    def valid_ratio(self) -> float:
        """Share of valid answers (the papers' ValidRatio)."""
        return float(self.valid.mean())


def generate_answers(
    ranker: Ranker,
    routing: Routing,
    cases: Sequence[Case],
    candidates: Indices,
    adapter: str,
    gate: Floats | None = None,
    progress: Progress = ignore,
    batch_size: int = 16,
    max_new_tokens: int | None = None,
) -> Answers:
    """Ask every case; an answer depends on its own case only, up to rounding.

    Args:
        routing: of the same n cases; its gate is used unless `gate` [n, K] overrides it (controls).
        candidates: [n, C] catalogue indices, listed in this order.
        adapter: "base" is the untrained backbone; it is asked without item tokens, which it cannot read.
        batch_size: cases decoded together.
        max_new_tokens: None is the longest title and its stop. The papers' 64 decode longer and find the same
            answers valid.
    """
    wording, longest = ranker.wording, max_new_tokens or ranker.wording.longest_answer
    mixtures = np.ascontiguousarray(routing.gate if gate is None else gate, dtype=np.float32)
    ranker.model.eval()
    chosen: list[int] = []
    texts: list[str] = []
    for start in range(0, len(cases), batch_size):
        rows = slice(start, start + batch_size)
        listed = candidates[rows].tolist()
        histories = [case.history[-HISTORY_AT_TEST:][-ranker.history_length :] for case in cases[rows]]
        packed = pack_prompts(wording, histories, listed, [adapter != BASE] * len(listed))
        mixture = Mixture(weights=torch.from_numpy(mixtures[rows]).to(ranker.model.device))
        decoded = ranker.model.generate(
            packed.to(ranker.model.device), adapter, mixture, wording.stops, longest
        )
        for answer, items in zip(decoded.tolist(), listed, strict=True):
            words, ended = until_stop(answer, wording.stops)
            chosen.append(column_of(words, [wording.titles[item] for item in items]) if ended else INVALID)
            texts.append(wording.spell(words))
        progress(min(start + batch_size, len(cases)), len(cases))
    return Answers(np.array(chosen, dtype=np.int64), tuple(texts))


def until_stop(answer: Sequence[int], stops: Sequence[int]) -> tuple[tuple[int, ...], bool]:
    """Token ids before the first stop, and whether there was one: without it the answer was cut off."""
    for place, word in enumerate(answer):
        if word in stops:
            return tuple(answer[:place]), True
    return tuple(answer), False


def column_of(words: Sequence[int], titles: Sequence[Sequence[int]]) -> int:
    """The one candidate whose title is exactly these token ids, else INVALID.

    Never a part of a title, which the published code took for the whole; nor a title that two candidates
    share (possible where both are longer than MAX_TITLE_TOKENS), which would name neither.
    """
    found = [column for column, title in enumerate(titles) if tuple(title) == tuple(words)]
    return found[0] if len(found) == 1 else INVALID


def answer_ranks(answers: Answers, cases: Sequence[Case], candidates: Indices) -> Ranks:
    """[n] float64: 1 where the target was chosen, else infinity: one answer ranks nothing but itself.

    An invalid answer is a miss like a wrong one, so HR@1 is over all cases.
    """
    columns = (candidates == targets_of(cases)[:, None]).argmax(1)
    return np.where(answers.chosen == columns, 1.0, np.inf)
