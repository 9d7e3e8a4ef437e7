"""Hyper-parameters per model, as data: one TOML file per model, one table per method."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

# Share of a model's depth at which its edit layer lies when nothing is known of the model (gpt2-xl 17 of 48,
# GPT-J 5 of 28, Llama-2 5 of 32 in the published settings).
DEPTH = 0.2
# The same for fine-tuning (Llama-2 and Llama-3 21 of 32, GPT-J 21 of 28).
TUNED_DEPTH = 0.65


def prefix_lengths(model: str) -> tuple[tuple[int, int], ...]:
    """Pairs of length in tokens and number of the context prefixes; ROME's published ones if the preset has none."""
    lengths = _tables(model).get("prefixes", {}).get("lengths", [[5, 10], [10, 10]])
    return tuple((length, count) for length, count in lengths)


def preset(model: str, method: str, n_layers: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings of a method for a model, and a note where they had to be guessed.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        method: Name of the method, or of a setting of it that may have its own table ("glame:paper").
        n_layers: Number of the model's blocks.
    """
    tables = _tables(model)
    name = method.partition(":")[0]
    for table in (method, name):
        if table in tables:
            return tables[table], ()
    layer = round(DEPTH * n_layers)
    band = list(range(max(layer - 4, 0), layer + 1))
    deep = min(round(TUNED_DEPTH * n_layers), n_layers - 1)
    guesses: dict[str, dict[str, Any]] = {
        "rome": {"layer": layer},
        "rome-kg": {"layer": layer},
        "memit": {"layers": band},
        "memit-kg": {"layers": band},
        "glame": {"layers": [layer], "repr_layer": max(layer - 2, 0)},
        "ft": {"layer": deep},
        "ft-l": {"layer": 0},
    }
    guess = guesses[name]
    last = guess["layer"] if "layer" in guess else guess["layers"][-1]
    note = f"no preset for {_name(model)!r} and {name}: layer {last} of {n_layers} is a guess by depth"
    return guess, (note,)


def table(model: str, name: str) -> dict[str, Any]:
    """A table that belongs to no method, such as [guards]; empty if the model's preset has none."""
    found: dict[str, Any] = _tables(model).get(name, {})
    return found


def _tables(model: str) -> dict[str, Any]:
    file = resources.files(__name__).joinpath(f"{_name(model)}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _name(model: str) -> str:
    return model.rstrip("/").rsplit("/", 1)[-1].lower()
