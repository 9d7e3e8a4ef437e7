"""Hyper-parameters per model, as data: one TOML file per model, one table per method."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

# Share of a model's depth at which its edit layer lies when nothing is known of the model (gpt2-xl 17 of 48,
# GPT-J 5 of 28, Llama-2 5 of 32 in the published settings).
DEPTH = 0.2


def preset(model: str, method: str, n_layers: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings of a method for a model, and a note where they had to be guessed.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        method: Name of the method.
        n_layers: Number of the model's blocks.
    """
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    file = resources.files(__name__).joinpath(f"{name}.toml")
    if file.is_file():
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        if method in tables:
            return tables[method], ()
    layer = round(DEPTH * n_layers)
    guess: dict[str, Any] = (
        {"layers": [layer], "repr_layer": max(layer - 2, 0)} if method == "glame" else {"layer": layer}
    )
    return guess, (f"no preset for {name!r} and {method}: layer {layer} of {n_layers} is a guess by depth",)
