"""The real model, for the tests that can use it when `kgedit models fetch smollm2` has got it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg_cache.settings import Settings
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.lm.sources.fetch import fetched_file

SMOLLM2 = FETCHABLE["smollm2"]
# Taken while tests are collected, before each run gets a cache folder of its own.
USER_CACHE = Settings().cache_dir


def smollm2_file() -> Path:
    """The GGUF file; skips the test where it was not fetched."""
    file = fetched_file(SMOLLM2, USER_CACHE)
    if not file.is_file():
        pytest.skip(f"{file} is not there; `kgedit models fetch smollm2` gets it")
    return file
