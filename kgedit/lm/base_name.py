"""The public name of a loaded model, for files that are handed on: never a path of the machine it was loaded on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from kgedit.io.hub import is_hub_id
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.mini import MINI, mini_folder

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_SNAPSHOT = re.compile(r"models--([\w.-]+?)--([\w.-]+)")  # a model's folder in the cache of the hub


def from_anywhere(model: str) -> str:
    """A model's name as it is found from any working directory: the path of a file or folder in full."""
    is_path = model not in (MINI, *FETCHABLE) and Path(model).exists()
    return str(Path(model).absolute()) if is_path else model


def base_name(model: nn.Module) -> str | None:
    """What others find the model by.

    Args:
        model: A model as `lm.load.load_model` returns it; others may have no name.

    Returns:
        A hub id, "mini" or a fetched model's name where it is one of these; else the bare name of its file or
        folder; None where the model does not say where it is from.
    """
    config: Any = getattr(model, "config", None)
    source: Mapping[str, Any] = getattr(config, "gguf_source", None) or {}
    if source:
        fetched = (row.name for row in FETCHABLE.values() if row.file_sha256 == source.get("sha256"))
        return next(fetched, None) or _last(str(source.get("file", ""))) or source.get("name")
    loaded_from = str(getattr(config, "name_or_path", "") or "")
    if not loaded_from:
        return None
    folder = Path(loaded_from)
    if not folder.is_dir():
        return loaded_from if _HUB_ID.fullmatch(loaded_from) else _last(loaded_from)
    if folder.resolve() == mini_folder().resolve():
        return MINI
    for part in folder.absolute().parts:
        if cached := _SNAPSHOT.fullmatch(part):
            return f"{cached[1]}/{cached[2]}"
    return _noted_in(folder) or _last(str(folder.absolute()))


def public_name(model: nn.Module, given: str) -> str:
    """`base_name`; of a model that does not say where it is from, the last part of the name that it was given."""
    return base_name(model) or _last(given) or ""


def hub_id(name: str) -> str | None:
    """The hub id of the model that a public name stands for: a fetched model's origin; None where it has none."""
    if name in FETCHABLE:
        return FETCHABLE[name].origin.partition("huggingface.co/")[2] or None
    return name if is_hub_id(name) else None


def _last(path: str) -> str | None:
    """The last part of a path of any platform."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or None


def _noted_in(folder: Path) -> str | None:
    """The hub id (owner/name) that a folder's own config says it was made from."""
    try:
        noted = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path")
    except (OSError, ValueError, AttributeError):
        return None
    is_id = isinstance(noted, str) and "/" in noted and _HUB_ID.fullmatch(noted) and not Path(noted).exists()
    return str(noted) if is_id else None
