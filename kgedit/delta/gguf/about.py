"""Metadata of an exported file for people and tools: the base model, the delta, and the facts that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from torch import nn

from kgedit.delta.facts import facts_changed
from kgedit.delta.low_rank import LowRankDelta
from kgedit.lm.base_name import base_name


def describe_base(writer: Any, model: nn.Module) -> str:
    """Note the base model; returns its name."""
    source: Mapping[str, Any] = getattr(getattr(model, "config", None), "gguf_source", None) or {}
    base = str(source.get("name") or base_name(model) or "unknown")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    writer.add_string("kgedit.version", version("kgedit"))
    writer.add_string("kgedit.base_file", str(source.get("file", "")))
    writer.add_string("kgedit.base_file_sha256", str(source.get("sha256", "")))
    return base


def describe_delta(writer: Any, delta: LowRankDelta) -> None:
    """Note the delta, the weights that it was made for, and what it changes."""
    writer.add_string("kgedit.delta", delta.id)
    writer.add_string("kgedit.base_weights_sha256", delta.base_hash)
    writer.add_array("kgedit.facts", facts_changed(delta))
