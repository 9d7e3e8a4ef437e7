"""The tab *Where is it stored*: causal tracing of a typed fact, its heat maps, severed parts and neurons."""

from __future__ import annotations

from typing import Any

from kgedit.errors import PromptError
from kgedit.locate.files import to_html
from kgedit.locate.located import TracingSettings, locate_prompt
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.handling import attempt, on_page, queued, stops
from kgedit.workbench.shown import framed


def locate_tab(desk: Desk, sitting: Any) -> None:
    """Build the tab; `sitting` is the page's state of one window."""
    import gradio as gr

    with gr.Row():
        subject = gr.Textbox(label="Subject of the fact", placeholder="Albert Einstein")
        prompt = gr.Textbox(
            label="Sentence up to the answer", placeholder="Albert Einstein was born in",
            info="It names the subject, or has {} in its place",
        )  # fmt: skip
        samples = gr.Number(value=4, minimum=1, maximum=100, precision=0, label="Noisy runs")
        neurons = gr.Checkbox(label="Neurons", info="Also those that the answer depends on; takes longer")
    with gr.Row():
        tracing, stop = gr.Button("Trace", variant="primary"), gr.Button("Stop")
    shown = gr.HTML("")

    def trace(
        subject: str,
        prompt: str,
        samples: int,
        neurons: bool,
        sitting: Sitting,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> str:
        def work() -> str:
            if not subject.strip() or not prompt.strip():
                raise PromptError("name the subject and a sentence about it that ends where the answer begins")
            settings = TracingSettings(samples=int(samples), neurons=bool(neurons))
            with desk.seated(sitting, on_page(progress), edited=False) as editor:
                located = locate_prompt(editor, subject, prompt, settings, progress=editor.progress)
            return framed(to_html(located), "Where the fact is stored")

        return attempt(work)

    queued(tracing.click, sitting, trace, [subject, prompt, samples, neurons, sitting], shown)
    stops(stop, sitting)
