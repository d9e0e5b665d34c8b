"""The `loo` split: every user's last item is asked, the one before chooses, the rest trains."""

from collections.abc import Sequence

from core.data.dataset import Case, Split

MIN_INTERACTIONS = 5
"""Users with fewer are neither trained on nor asked."""


def leave_one_out(sequences: Sequence[tuple[int, ...]], name: str = "loo") -> Split:
    """Users' whole sequences (oldest first) -> the split that decides (n = users with at least 5 items)."""
    kept = [(user, sequence) for user, sequence in enumerate(sequences) if len(sequence) >= MIN_INTERACTIONS]
    return Split(
        name=name,
        train=tuple(sequence[:-2] for _, sequence in kept),
        train_users=tuple(user for user, _ in kept),
        validation=tuple(Case(user, sequence[:-2], sequence[-2]) for user, sequence in kept),
        test=tuple(Case(user, sequence[:-1], sequence[-1]) for user, sequence in kept),
    )
