"""llama.cpp as the judge in tests, which skip themselves where the package xllamacpp is not installed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.llama_cpp import LlamaCpp as Judge


class LlamaCpp(Judge):
    """See `benchmarks.llama_cpp`."""

    def __init__(self, *given: Any, **more: Any) -> None:
        pytest.importorskip("xllamacpp")
        super().__init__(*given, **more)
