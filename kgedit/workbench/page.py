"""The page: its tabs in their order, in a theme that loads no font from anywhere."""

from __future__ import annotations

from typing import Any

from kgedit.workbench.compare_tab import compare_tab
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.edit_tab import edit_tab
from kgedit.workbench.journal_tab import journal_tab
from kgedit.workbench.locate_tab import locate_tab
from kgedit.workbench.shown import told

_SITTING = 24 * 3600.0  # seconds after which what a closed window kept is forgotten


def build_page(desk: Desk) -> Any:
    """The page as `gradio.Blocks`, not yet served."""
    import gradio as gr

    with gr.Blocks(title=f"kgedit workbench: {desk.model}", analytics_enabled=False) as page:
        sitting = gr.State(Sitting(), time_to_live=_SITTING)
        gr.Markdown("# kgedit workbench")
        facts = "the bundled slice of Wikidata" if desk.graph_file is None else desk.graph.name
        gr.HTML(told(f"Model: {desk.model}. Facts: {facts}."), padding=False)
        with gr.Tabs():
            with gr.Tab("Edit"):
                edit_tab(desk, sitting)
            with gr.Tab("Journal") as journal:
                journal_tab(desk, journal, sitting)
            with gr.Tab("Compare"):
                compare_tab()
            with gr.Tab("Where is it stored"):
                locate_tab(desk, sitting)
    return page


def theme() -> Any:
    """Fonts of the system, and colours whose contrast is AA."""
    import gradio as gr

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return gr.themes.Default(primary_hue="blue", **fonts).set(
        color_accent="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )
