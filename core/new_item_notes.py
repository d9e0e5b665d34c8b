"""What a list says of items that came after training."""

from collections.abc import Sequence

import numpy as np

from core.catalog import Catalog
from core.ordering import Scores
from core.routing import Indices

MOST_PLACES = 3
"""Of so many new items a list says where they stand."""


def new_in_history(catalog: Catalog, trained: int, history: Sequence[int]) -> list[str]:
    """A note on the new items of a history (dense indices from `trained` on); none where there are none."""
    new = [catalog[index].title for index in history if index >= trained]
    return [f"New, read by its words alone: {'; '.join(new)}."] if new else []


def places_of_new(catalog: Catalog, trained: int, scores: Scores, pool: Indices) -> list[str]:
    """Where the first new items stand: whoever brings one asks for that, in the list or behind it.

    Args:
        trained: items from this dense index on are new.
        scores: [P].
        pool: [P] dense indices.
    """
    places = np.flatnonzero(pool >= trained)
    ranks = [(1 + int((scores > scores[place]).sum()), int(pool[place])) for place in places]
    return [
        f"New: {catalog[index].title} stands at rank {rank:,} of {len(pool):,}."
        for rank, index in sorted(ranks)[:MOST_PLACES]
    ]
