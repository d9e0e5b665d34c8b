"""LastFM and Steam as published with LLaRA (Liao et al., SIGIR 2024) and read by iLoRA: `paper` and `loo`.

Users carry the number of their first published row ("train-0", "val-17"): there are no others, and these are
the same whether a file is whole or a sample.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from core.assets import Progress, brought_files
from core.assets.brought import BROUGHT, LASTFM, STEAM
from core.catalog import Catalog
from core.data.dataset import Case, Dataset, Split
from core.data.leave_one_out import leave_one_out
from core.data.paper_rows import PAPER_MIN_HISTORY
from core.data.windows import WINDOW, Window, joined, read_titles, read_windows
from core.domain import ARTISTS, GAMES, Domain


def load_lastfm(progress: Progress | None = None) -> Dataset:
    """LastFM, 4,606 artists. Training rows are one per position, so 976 users are whole; the 122 validation
    and 122 test users are known by their published window.

    Raises:
        AssetError: the files are not there.
        DataError: the files are not what they should be.
    """
    return _load(LASTFM, ARTISTS, progress)


def load_steam(progress: Progress | None = None) -> Dataset:
    """Steam, 3,581 games. A training window is one sequence; consecutive rows of one user, which the whole
    file has and the sample of 1,000 rows does not, are joined.

    Raises:
        AssetError: the files are not there.
        DataError: the files are not what they should be.
    """
    return _load(STEAM, GAMES, progress)


def _load(name: str, domain: Domain, progress: Progress | None) -> Dataset:
    titles, training, validation, test = brought_files(name, progress)
    items = read_titles(titles)
    known = joined(read_windows(training, len(items)))
    asked = {"val": read_windows(validation, len(items)), "test": read_windows(test, len(items))}
    users = [f"train-{row}" for row, _ in known]
    sequences = [sequence for _, sequence in known]
    for part, windows in asked.items():
        users += [f"{part}-{window.row}" for window in windows]
        sequences += [window.items for window in windows]
    splits = {
        "loo": _without_answers(leave_one_out(_distinct(sequences)), known, sequences),
        "paper": _paper_split(sequences[: len(known)], asked["val"], asked["test"]),
    }
    count = Counter(item for sequence in splits["loo"].train for item in sequence)
    catalog = Catalog(items, popularity=[count[item.index] for item in items])
    return Dataset(name, catalog, tuple(users), tuple(sequences), splits, BROUGHT[name].terms, domain)


def _paper_split(
    training: Sequence[tuple[int, ...]], validation: Sequence[Window], test: Sequence[Window]
) -> Split:
    """As published: other users are asked than train, and only rows with a history of at least 3 count."""
    kept = [(user, sequence) for user, sequence in enumerate(training) if len(sequence) > PAPER_MIN_HISTORY]

    def cases(windows: Sequence[Window], first_user: int) -> tuple[Case, ...]:
        return tuple(
            Case(user, window.history, window.target)
            for user, window in enumerate(windows, start=first_user)
            if len(window.history) >= PAPER_MIN_HISTORY
        )

    return Split(
        name="paper",
        train=tuple(sequence for _, sequence in kept),
        train_users=tuple(user for user, _ in kept),
        validation=cases(validation, len(training)),
        test=cases(test, len(training) + len(validation)),
        disjoint_users=True,
    )


def _distinct(sequences: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Sequences with every repetition of a whole one emptied: the same window is asked once."""
    seen: set[tuple[int, ...]] = set()
    kept = []
    for sequence in sequences:
        kept.append(() if sequence in seen else sequence)
        seen.add(sequence)
    return kept


def _without_answers(
    split: Split, known: Sequence[tuple[int, tuple[int, ...]]], sequences: Sequence[tuple[int, ...]]
) -> Split:
    """Cut training sequences before what an overlapping window of the same person asks.

    Of a file of windows, rows d lines apart may be one person's, d positions apart. As users of their own,
    the later one would train on what the earlier one is asked.
    """
    asked = {case.user: len(case.history) for case in split.validation}  # position of the first asked item
    order = sorted(range(len(known)), key=lambda user: known[user][0])
    ends: dict[int, int] = {}
    for place, earlier in enumerate(order):
        for later in order[place + 1 :]:
            shift = known[later][0] - known[earlier][0]
            if shift > WINDOW:
                break
            before, after = sequences[earlier][shift:], sequences[later]
            if earlier in asked and before and before == after[: len(before)]:
                ends[later] = min(ends.get(later, len(after)), max(0, asked[earlier] - shift))
    train = {
        user: sequence[: ends.get(user, len(sequence))]
        for user, sequence in zip(split.train_users, split.train, strict=True)
    }
    train = {user: sequence for user, sequence in train.items() if sequence}
    return replace(split, train=tuple(train.values()), train_users=tuple(train), distinct_windows=True)
