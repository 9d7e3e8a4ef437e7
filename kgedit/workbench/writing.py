"""Free text by the unedited model and by a window's own, shown side by side while it is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from queue import SimpleQueue

from kgedit.lm.generation.streaming import stream
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.shown import block

MODELS = ("unedited", "edited")


def written(desk: Desk, sitting: Sitting, prompt: str) -> Iterator[tuple[str, str]]:
    """Both continuations as far as they are written, after each token; first the unedited model's grows.

    Some kinds of edits remember what they read, so the models do not take turns within a text. The page asks for each
    step from another thread; the seat at the model belongs to one, which writes.

    Raises:
        PromptError: The prompt is empty or too long.
        Stopped: The window asked to stop.
    """
    steps: SimpleQueue[tuple[int, str] | None] = SimpleQueue()

    def write() -> None:
        try:
            with desk.seated(sitting, edited=False) as editor:
                grow(0)
                with editor.trial(*sitting.deltas):
                    grow(1)
        finally:
            steps.put(None)

    def grow(model: int) -> None:
        editor = desk.editor
        for text in stream(editor.model, editor.tokenizer, prompt):
            if editor.progress:
                editor.progress("writing", model, len(MODELS))
            steps.put((model, text))

    texts = ["", ""]
    with ThreadPoolExecutor(max_workers=1) as pool:
        writing = pool.submit(write)
        try:
            while (step := steps.get()) is not None:
                model, texts[model] = step
                yield texts[0], texts[1]
        except GeneratorExit:
            sitting.stopping = True  # nobody reads on
            raise
    writing.result()


def pair_html(prompt: str, texts: Sequence[str]) -> str:
    """The texts beside each other; below each other where there is no room."""
    parts = [
        f'<section aria-label="{model}"><h4>{model}</h4><p><span class="given">{escape(prompt.rstrip())}</span>'
        f"{escape(_joined(text))}</p></section>"
        for model, text in zip(MODELS, texts, strict=True)
    ]
    return block(['<div class="pair">', *parts, "</div>"])


def _joined(text: str) -> str:
    return text if text[:1].isspace() else f" {text}" if text else " \u2026"
