"""Hyper-parameters per model, as data: one TOML file per model, one table per method."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any


def prefix_lengths(model: str) -> tuple[tuple[int, int], ...]:
    """Pairs of length in tokens and number of the context prefixes; ROME's published ones if the preset has none."""
    lengths = _tables(model).get("prefixes", {}).get("lengths", [[5, 10], [10, 10]])
    return tuple((length, count) for length, count in lengths)


def table(model: str, name: str) -> dict[str, Any]:
    """One table of a model's preset.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        name: A method, a method's variant that has a table of its own ("glame:paper"), or another table ("guards").

    Returns:
        Field -> value; empty if the model has no preset, or its preset no such table.
    """
    fields: dict[str, Any] = _tables(model).get(name, {})
    return fields


def _tables(model: str) -> dict[str, Any]:
    stem = model.rstrip("/").rsplit("/", 1)[-1].lower()
    file = resources.files(__name__).joinpath(f"{stem}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
