"""`kgedit ask` and `kgedit models`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.options import AsJson, Model
from kgedit.cli.output import emit, percent, table, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType


def ask(
    prompt: Annotated[str, typer.Argument(help='The beginning of a sentence, e.g. "Albert Einstein was born in".')],
    model: Model = "mini",
    delta: Annotated[Path | None, typer.Option(help="Folder of a saved delta, applied first.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many answers.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Shows a model's most probable answers."""
    with working(f"Loading {model}"):
        from kgedit.editor import Editor

        editor = Editor.from_pretrained(model)
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


def models(as_json: AsJson = False) -> None:
    """Lists the bundled models, the model families that can be edited, and the editing methods."""
    with working("Reading the tables"):
        from kgedit.lm.anatomy import families as known_families
        from kgedit.methods.base import METHODS, load_method
        from kgedit.mini import MINI

        families = {
            name: {"parallel": row.parallel, "gated": row.gated, "weight": row.mlp_out_path}
            for name, row in known_families().items()
        }
        methods = {name: _first_line(sys.modules[load_method(name).__module__].__doc__) for name in METHODS}
        bundled = [MINI]
    data = {"bundled": bundled, "families": families, "methods": methods}
    emit(data, lambda: _listed(data), as_json=as_json)


def _first_line(text: str | None) -> str:
    return (text or "").split("\n", 1)[0]


def _listed(data: dict[str, Any]) -> Iterator[RenderableType]:
    yield table(["bundled model"], [(name,) for name in data["bundled"]])
    rows = [
        (
            name,
            "parallel" if row["parallel"] else "sequential",
            "gated" if row["gated"] else "plain",
            row["weight"],
        )
        for name, row in data["families"].items()
    ]
    yield table(["model family", "block", "MLP", "edited matrix"], rows)
    yield table(["method", ""], list(data["methods"].items()))
