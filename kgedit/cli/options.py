"""Options that several commands share, so that they read alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Model = Annotated[str, typer.Option("--model", help="mini (bundled), a Hugging Face id, or a folder.")]
Method = Annotated[str, typer.Option("--method", help="Editing method; `kgedit models` lists them.")]
StorePath = Annotated[
    Path | None, typer.Option("--store", help="SQLite store of facts; the bundled snapshot by default.")
]
Moments = Annotated[
    str | None,
    typer.Option(
        "--moments", help='Folder that `kgedit moments` wrote, or "identity"; found or collected by default.'
    ),
]


def moments_source(given: str | None) -> Literal["auto", "identity"] | Path:
    """What `--moments` means to an editor."""
    if given is None:
        return "auto"
    return "identity" if given == "identity" else Path(given)
