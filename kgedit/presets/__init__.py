"""Hyper-parameters per model, as data: one TOML file per model, one table per method.

Tables of the user's own folder (`kgedit tune` writes there) stand in place of those of the package.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from kg_cache.settings import Settings
from kgedit.errors import FileCorrupt


def table(model: str, name: str) -> dict[str, Any]:
    """One table of a model's preset: the user's own, else that of the package.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        name: A method, a method's variant that has a table of its own ("glame:paper-mquake"), or another table
            ("guards").

    Returns:
        Field -> value; empty if the model has no preset, or its preset no such table.

    Raises:
        FileCorrupt: The user's preset cannot be read.
    """
    own = user_tables(model)
    return own[name] if name in own else bundled_table(model, name)


def bundled_table(model: str, name: str) -> dict[str, Any]:
    """One table of a model's preset in the package, whatever the user's own says; see `table`."""
    fields: dict[str, Any] = _bundled_tables(model).get(name, {})
    return fields


def user_file(model: str) -> Path:
    """Where the user's preset of a model lies, if there is one."""
    return Settings().config_dir / "presets" / f"{_stem(model)}.toml"


def user_tables(model: str) -> Mapping[str, dict[str, Any]]:
    """The tables of the user's preset of a model; none where there is no file.

    Raises:
        FileCorrupt: The file cannot be read, or holds something beside tables.
    """
    file = user_file(model)
    try:
        tables: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise FileCorrupt(f"the preset {file} cannot be read: {error}; correct it, or delete it") from error
    if wrong := [name for name, value in tables.items() if not isinstance(value, dict)]:
        raise FileCorrupt(f"the preset {file} has {wrong[0]!r} outside of a table; write it below [METHOD]")
    return tables


def _bundled_tables(model: str) -> dict[str, Any]:
    file = resources.files(__name__).joinpath(f"{_stem(model)}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _stem(model: str) -> str:
    return model.rstrip("/").rsplit("/", 1)[-1].lower()
