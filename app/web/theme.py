"""How the page looks: fonts are the visitor's own, colours work in dark and light, and nothing is fetched."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.palette import EXPERT_COLOURS

HERE = Path(__file__).parent


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
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
