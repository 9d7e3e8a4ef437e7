"""Writes what tuning found into the user's preset of a model, beside the tables of other methods that it has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kgedit.io.atomic_files import write_files
from kgedit.presets import user_file, user_tables

FIGURES = "tuned"  # the table of figures, by method


def write_preset(model: str, method: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> Path:
    """Replace one method's table, and what is told of its figures.

    Args:
        model: The model's name; its last component names the preset.
        method: The method.
        settings: Fields that differ from the method's defaults, or that it has no default for.
        figures: Field -> number, text, list or table.

    Returns:
        The file.

    Raises:
        SaveFailed: The folder cannot be written.
        FileCorrupt: The preset that is there is no TOML.
    """
    tables = dict(user_tables(model))
    tables[method] = dict(settings)
    tables[FIGURES] = {**tables.get(FIGURES, {}), method: dict(figures)}
    file = user_file(model)
    text = "# Written by `kgedit tune`.\n" + "".join(f"{line}\n" for line in _tables(tables))
    write_files(file.parent, {file.name: text.encode()})
    return file


def _tables(tables: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The lines of some tables and those inside them, in TOML."""
    for name, value in tables.items():
        path = (*above, name)
        plain = {key: inner for key, inner in value.items() if not isinstance(inner, Mapping)}
        inside = {key: inner for key, inner in value.items() if isinstance(inner, Mapping)}
        if plain or not inside:
            yield ""
            yield f"[{'.'.join(_key(part) for part in path)}]"
            yield from (f"{_key(key)} = {_value(inner)}" for key, inner in plain.items() if inner is not None)
        yield from _tables(inside, path)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    # Strings, numbers, booleans and lists are written in TOML as in JSON.
    return json.dumps(list(value) if isinstance(value, tuple) else value, allow_nan=False)
