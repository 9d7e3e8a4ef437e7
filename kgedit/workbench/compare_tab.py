"""The tab *Compare*: finished runs of `kgedit eval` side by side, as `kgedit eval compare` writes them."""

from __future__ import annotations

from typing import Any

from kgedit.evaluate.compare import compare_runs
from kgedit.evaluate.report.html import to_html
from kgedit.workbench.handling import attempt, named_path
from kgedit.workbench.shown import framed


def compare_tab() -> None:
    """Build the tab."""
    import gradio as gr

    folders = gr.Textbox(
        label="Folders of runs, one a line",
        lines=3,
        info="What `--out` named, on the machine that serves this page; the others are compared with the first",
    )
    comparing, shown = gr.Button("Compare", variant="primary"), gr.HTML("")
    comparing.click(compared, folders, shown, api_visibility="private")


def compared(folders: str) -> Any:
    """The comparison of the runs in these folders, one a line."""

    def work() -> str:
        found = compare_runs([named_path(line) for line in folders.splitlines() if line.strip()])
        return framed(to_html(found.report, found.spread, answers=found.answers), "Comparison of runs")

    return attempt(work)
