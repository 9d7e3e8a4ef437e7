"""Settings for servers on this machine, and the recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.ingest.feeds.settings import FeedSettings

Json = dict[str, Any]


@pytest.fixture
def local(tmp_path: Path) -> Callable[..., FeedSettings]:
    """Settings for servers on this machine: few attempts, short waits."""

    def made(**fields: Any) -> FeedSettings:
        return FeedSettings(cache_dir=tmp_path, timeout=5, retry_budget=20, **fields)

    return made


@pytest.fixture
def recorded(real: Path) -> Callable[[str], str]:
    """The text of a recorded answer by its path."""
    return lambda name: (real / "api_fixtures" / name).read_text(encoding="utf-8")


@pytest.fixture
def recorded_entity(recorded: Callable[[str], str]) -> Callable[[str], Json]:
    """A recorded entity by its id."""

    def read(id: str) -> Json:
        found: Json = json.loads(recorded(f"wbgetentities/{id}.json"))
        return found

    return read
