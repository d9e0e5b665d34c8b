"""A data set in numbers: what `ilora data describe` and the page show."""

from collections import Counter
from dataclasses import dataclass

from core.data.dataset import Dataset

LENGTH_EDGES = (1, 5, 10, 20, 50, 100, 200, 500)
"""Lower ends of the bins that users are counted in by the length of their sequence."""
MOST = 10
"""How many genres and decades are listed."""


@dataclass(frozen=True)
class SplitDescription:
    """Sizes of one split."""

    name: str
    train_users: int
    train_interactions: int
    validation: int
    test: int


@dataclass(frozen=True)
class Description:
    """Counts of a data set.

    Attributes:
        density: interactions / (users x items).
        median_length: of the users' sequences.
        lengths: (bin, users), bins by length of the whole sequence.
        decades: (decade, items), newest first; items without a year are left out.
        genres: (genre, items), most frequent first; an item counts for each of its genres.
        sha256: the data set's content hash.
    """

    name: str
    users: int
    items: int
    interactions: int
    density: float
    median_length: float
    splits: tuple[SplitDescription, ...]
    lengths: tuple[tuple[str, int], ...]
    decades: tuple[tuple[str, int], ...]
    genres: tuple[tuple[str, int], ...]
    terms: str
    sha256: str


def describe(dataset: Dataset) -> Description:
    """Count everything once."""
    lengths = sorted(map(len, dataset.sequences))
    years = [item.year for item in dataset.catalog.items if item.year is not None]
    decades = Counter(f"{year // 10 * 10}s" for year in years)
    genres = Counter(genre for item in dataset.catalog.items for genre in item.genres)
    middle = len(lengths) // 2
    return Description(
        name=dataset.name,
        users=len(dataset.users),
        items=dataset.num_items,
        interactions=dataset.interactions,
        density=dataset.interactions / (len(dataset.users) * dataset.num_items),
        median_length=lengths[middle] if len(lengths) % 2 else (lengths[middle - 1] + lengths[middle]) / 2,
        splits=tuple(
            SplitDescription(
                split.name, len(split.train), split.interactions, len(split.validation), len(split.test)
            )
            for split in dataset.splits.values()
        ),
        lengths=_histogram(lengths),
        decades=tuple(sorted(decades.items(), reverse=True)[:MOST]),
        genres=tuple(genres.most_common(MOST)),
        terms=dataset.terms,
        sha256=dataset.sha256,
    )


def _histogram(lengths: list[int]) -> tuple[tuple[str, int], ...]:
    """Users per bin of sequence length; empty bins at either end are left out."""
    uppers = [*(edge - 1 for edge in LENGTH_EDGES[1:]), None]
    bins = []
    for low, high in zip(LENGTH_EDGES, uppers, strict=True):
        label = f"{low}–{high}" if high is not None else f"{low}+"
        bins.append((label, sum(low <= length and (high is None or length <= high) for length in lengths)))
    filled = [position for position, (_, users) in enumerate(bins) if users]
    return tuple(bins[filled[0] : filled[-1] + 1]) if filled else ()
