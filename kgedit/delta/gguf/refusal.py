"""The error for a tokenizer of which it is not known that llama.cpp gives the same ids."""

from __future__ import annotations

import json
from typing import Any

from kgedit.errors import UnsupportedExport


def refused(reason: str) -> UnsupportedExport:
    """The error to raise.

    Args:
        reason: What about the tokenizer is the cause; goes on from "the model's tokenizer".
    """
    return UnsupportedExport(
        f"the model's tokenizer {reason}: llama.cpp might give other token ids, so no GGUF file is written. An "
        "adapter (kgedit export gguf-lora) can be put on a GGUF file of the model that others made"
    )


def short(part: Any) -> str:
    """A part of a tokenizer.json, cut to 200 characters."""
    text = json.dumps(part, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."
