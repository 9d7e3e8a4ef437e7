"""Hyper-parameters per model, as data: one TOML file per model, one table per method.

Tables of the user's own folder (`kgedit tune` writes there) stand in place of those of the package. A preset goes by
the last part of the model's name, of a GGUF file without its quantisation; what is tuned for a path is that path's.
A preset of the package is not taken for a folder of that name whose model has another shape (its table `[model]`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from kg_cache.settings import Settings
from kgedit.errors import FileCorrupt

_OTHER_NAMES = {"smollm2-135m-instruct": "smollm2"}
_QUANTISED = re.compile(r"[.-](i?q\d\w*|b?f16|f32)$")


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
    """Where the user's preset of a model lies, or is to be written; that of a path has the path's hash in its name."""
    path = Path(model)
    if os.sep in model and path.exists():
        of_path = hashlib.sha256(str(path.resolve()).encode(errors="surrogatepass")).hexdigest()[:8]
        return _user_folder() / f"{_stem(model)}-{of_path}.toml"
    return _user_folder() / f"{_stem(model)}.toml"


def user_tables(model: str) -> Mapping[str, dict[str, Any]]:
    """The tables of the user's preset of a model, for a path without one those of its name; none without a file.

    Raises:
        FileCorrupt: The file cannot be read, or holds something beside tables.
    """
    file = user_file(model)
    if not file.exists():
        file = _user_folder() / f"{_stem(model)}.toml"
    try:
        tables: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise FileCorrupt(f"the preset {file} cannot be read: {error}; correct it, or delete it") from error
    if wrong := [name for name, value in tables.items() if not isinstance(value, dict)]:
        raise FileCorrupt(f"the preset {file} has {wrong[0]!r} outside of a table; write it below [METHOD]")
    return tables


def _user_folder() -> Path:
    return Settings().config_dir / "presets"


def _bundled_tables(model: str) -> dict[str, Any]:
    file = resources.files(__name__).joinpath(f"{_stem(model)}.toml")
    if not file.is_file():
        return {}
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    shape = tables.pop("model")
    config = _config(model)
    return tables if all(config.get(name, size) == size for name, size in shape.items()) else {}


def _config(model: str) -> dict[str, Any]:
    """What a model's folder says of its shape; nothing where it says nothing, which loading it will tell."""
    try:
        config = json.loads((Path(model) / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _stem(model: str) -> str:
    name = model.rstrip("/").rsplit("/", 1)[-1].lower()
    if name.endswith(".gguf"):
        name = _QUANTISED.sub("", name.removesuffix(".gguf"))
    return _OTHER_NAMES.get(name, name)
