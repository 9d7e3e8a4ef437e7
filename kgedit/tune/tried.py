"""The settings that were tried and their figures, one line each, so that a stopped search goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kgedit.io.durable import append
from kgedit.methods.settings import MethodSettings

_FORMAT = "kgedit tuning 1"  # changes with the edits that are drawn or the way in which they are measured


class Tried:
    """The record of one search.

    Attributes:
        path: The file, named for all that the figures depend on beside the settings.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Read what an earlier run of the same search noted; a line that was cut off counts as not tried.

        Args:
            folder: Folder of the records.
            identity: Model, method, edits, moments: all that the figures depend on beside the settings.
        """
        name = hashlib.sha256(json.dumps([_FORMAT, identity], sort_keys=True).encode()).hexdigest()
        self.path = folder / f"{name[:32]}.jsonl"
        self._figures: dict[str, dict[str, float]] = {}
        with suppress(FileNotFoundError):
            for line in self.path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    row = json.loads(line)
                    self._figures[row["settings"]] = {name: float(value) for name, value in row["figures"].items()}

    def find(self, settings: MethodSettings, edits: str) -> dict[str, float] | None:
        """The figures of settings on some edits, if they were tried."""
        return self._figures.get(self._key(settings, edits))

    def note(self, settings: MethodSettings, edits: str, figures: Mapping[str, float]) -> None:
        """Write the figures down.

        Raises:
            SaveFailed: The file cannot be written.
        """
        key = self._key(settings, edits)
        self._figures[key] = dict(figures)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append(self.path, json.dumps({"settings": key, "figures": figures}).encode() + b"\n")

    def _key(self, settings: MethodSettings, edits: str) -> str:
        return f"{edits} {settings.model_dump_json()}"
