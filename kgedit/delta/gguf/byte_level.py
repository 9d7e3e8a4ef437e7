"""A byte-level BPE as a GGUF file holds it: what it merges, and the name of its split of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from kgedit.delta.gguf.refusal import refused, short
from kgedit.lm.sources.tokenizer import split_of


@dataclass(frozen=True, slots=True)
class ByteLevelBpe:
    """What such a vocabulary has beside its tokens.

    Attributes:
        split: `tokenizer.ggml.pre`.
        merges: Pairs in the order in which they were learnt, "left right".
    """

    split: str
    merges: list[str]

    def add_to(self, writer: Any) -> None:
        """Add it to a `gguf.GGUFWriter`."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.split)
        writer.add_token_merges(self.merges)


def byte_level_of(spec: Mapping[str, Any]) -> ByteLevelBpe:
    """Read a tokenizer.json whose model is a BPE without byte tokens.

    Raises:
        UnsupportedExport: It splits words in an unknown way, or changes texts in a way that llama.cpp does not.
    """
    inner, normalizer = spec["model"], spec["normalizer"]
    # Composing accents (NFC) leaves nearly all text as it is; every Qwen tokenizer does it, llama.cpp never.
    if normalizer is not None and normalizer["type"] != "NFC":
        raise refused(f"changes texts first, by {short(normalizer)}")
    lacking = sorted(set(ByteLevel.alphabet()) - inner["vocab"].keys())
    if lacking and inner.get("unk_token"):
        raise refused(f"has no token for the byte {lacking[0]!r} and says {inner['unk_token']!r} instead")
    split = split_of(spec["pre_tokenizer"], ignores_merges=bool(inner.get("ignore_merges")))
    if split is None:
        raise refused(f"splits words by {short(spec['pre_tokenizer'])}, which is none of the known splits")
    return ByteLevelBpe(split, [pair if isinstance(pair, str) else " ".join(pair) for pair in inner["merges"]])
