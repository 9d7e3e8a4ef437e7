"""`kgedit ask`: the most probable continuations of a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.options import AsJson, Model
from kgedit.cli.output import emit, percent, table, working


def ask(
    prompt: Annotated[str, typer.Argument(help='The beginning of a sentence, e.g. "Albert Einstein was born in".')],
    model: Model = "mini",
    delta: Annotated[Path | None, typer.Option(help="Folder of a saved delta, which is applied first.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many continuations are shown.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Shows the most probable continuations of a prompt."""
    with working(f"Loading {model}") as advance:
        from kgedit.editor import Editor

        editor = Editor.from_pretrained(model, progress=advance)
        if delta is not None:
            editor.load_delta(delta)
        answers = editor.ask(prompt, k)
    rows = [(text, percent(probability)) for text, probability in answers]
    data = {
        "model": model,
        "delta": None if delta is None else str(delta),
        "prompt": prompt,
        "answers": [{"text": text, "probability": probability} for text, probability in answers],
    }
    emit(data, lambda: [table([prompt + " ...", "probability"], rows, numbers=1)], as_json=as_json)
