"""An expert is a colour and a letter, the same in the terminal and on every tab of the page."""

from dataclasses import dataclass
from string import ascii_uppercase


@dataclass(frozen=True)
class Colour:
    """A fill and the ink that is readable on it (contrast at least 4.5)."""

    fill: str
    ink: str


# Okabe and Ito's palette, told apart by colour-blind people; the order keeps neighbours far from each other.
EXPERT_COLOURS = (
    Colour("#0072B2", "#fff"),
    Colour("#E69F00", "#000"),
    Colour("#009E73", "#000"),
    Colour("#CC79A7", "#000"),
    Colour("#56B4E9", "#000"),
    Colour("#D55E00", "#000"),
    Colour("#F0E442", "#000"),
    Colour("#999999", "#000"),
)


def expert_letter(expert: int) -> str:
    """0 -> "A"; the letter stands beside the colour everywhere, so colour is never the only carrier."""
    return ascii_uppercase[expert % len(ascii_uppercase)]


def expert_colour(expert: int) -> Colour:
    """The colour of an expert."""
    return EXPERT_COLOURS[expert % len(EXPERT_COLOURS)]
