"""A way to load records that a test writes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.evaluate.data import Loaded, load


@pytest.fixture
def load_records(tmp_path: Path) -> Callable[..., Loaded]:
    """Load the given records from a file made for it."""

    def from_file(*records: Any, format: str | None = None) -> Loaded:
        path = tmp_path / "records.json"
        path.write_text(json.dumps(records), encoding="utf-8")
        return load(path, format=format)

    return from_file
