"""The bundled model: weights, tokenizer, the facts it was trained on, and the script that trains it."""

from __future__ import annotations

from pathlib import Path

MINI = "mini"


def mini_folder() -> Path:
    """The folder with the files of the bundled model."""
    return Path(__file__).parent
