"""How slow steps tell what they are doing."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Told one plain sentence when a slow step begins."""


def silent(sentence: str) -> None:
    """Tells nobody."""
