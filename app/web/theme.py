"""How the page looks: an expert is a colour and a letter, fonts are the visitor's own, and nothing is fetched."""

from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import gradio as gr

HERE = Path(__file__).parent


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
    """The colour of an expert, the same on every tab."""
    return EXPERT_COLOURS[expert % len(EXPERT_COLOURS)]


def css() -> str:
    """The page's own style sheet, with one rule per expert colour."""
    fills = "".join(
        f".expert-{i} {{ --fill: {colour.fill}; --ink: {colour.ink}; }}\n"
        for i, colour in enumerate(EXPERT_COLOURS)
    )
    return fills + (HERE / "page.css").read_text(encoding="utf-8")


def script(name: str) -> str:
    """One of the page's small scripts, run when its component appears."""
    return (HERE / name).read_text(encoding="utf-8")


def piece(value: str, elem_id: str, js_on_load: str | None = None, **more: Any) -> gr.HTML:
    """One redrawn piece of the page, without Gradio's style for articles, which sets margins of its own."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=js_on_load, apply_default_css=False, **more)


def theme() -> gr.themes.Base:
    """Gradio's default theme in a quiet blue with the system's own fonts."""
    return gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        # Gradio's own greys are too faint to read small (below 4.5 to 1 on white).
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
