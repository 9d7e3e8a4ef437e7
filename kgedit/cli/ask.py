"""`kgedit ask`: the most probable continuations of a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import AsJson, Model, System
from kgedit.cli.output import emit, percent, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading


@loads_model
def ask(
    prompt: Annotated[str, typer.Argument(help='The beginning of a sentence, e.g. "Albert Einstein was born in".')],
    model: Model = "mini",
    delta: Annotated[
        list[Path] | None, typer.Option(help="Folder of a saved delta, which is applied first; may be repeated.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask as a chat model is asked, through its template.")] = False,
    system: System = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many continuations are shown.")] = 5,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Shows the most probable continuations of a prompt."""
    if system is not None and not chat:
        raise typer.BadParameter("a system prompt belongs to a chat; add --chat", param_hint="--system")
    with working(f"Loading {model}") as advance:
        from kgedit.editor import Editor
        from kgedit.lm.chat import in_chat_form

        editor = Editor.from_pretrained(model, progress=advance, **loading)
        for folder in delta or ():
            editor.load_delta(folder)
        asked = in_chat_form(editor.tokenizer, prompt, system=system) if chat else prompt
        answers = editor.ask(asked, k)
    rows = [(text, percent(probability)) for text, probability in answers]
    data = {
        "model": model,
        "deltas": [str(folder) for folder in delta or ()],
        "prompt": prompt,
        "asked": asked,
        "answers": [{"text": text, "probability": probability} for text, probability in answers],
    }
    emit(data, lambda: [table([prompt + " ...", "probability"], rows, numbers=1)], as_json=as_json)
