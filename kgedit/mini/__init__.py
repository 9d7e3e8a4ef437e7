"""The bundled model: weights, tokenizer, what it knows, and the script that trains it."""

from __future__ import annotations

from pathlib import Path

MINI = "mini"


def mini_folder() -> Path:
    """The folder with the model's files, which is this package's own."""
    return Path(__file__).parent
