"""A tokenizer as a GGUF file holds it, after checks that llama.cpp splits text into the same ids.

Two kinds are written: byte-level BPE (`byte_level`) and the BPE of SentencePiece (`sentencepiece`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from transformers import PreTrainedTokenizerBase

from kgedit.delta.gguf.byte_level import ByteLevelBpe, byte_level_of
from kgedit.delta.gguf.refusal import refused
from kgedit.delta.gguf.sentencepiece import SentencePieceBpe, byte_pieces, sentencepiece_of

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # token types of llama.cpp


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """What llama.cpp needs to split text as a tokenizer does.

    Attributes:
        kind: How text is split and merged.
        tokens: Text of each id; ids of the model that the tokenizer lacks have a text that no one writes.
        types: Type of each id.
        special: "bos", "eos", "unk" and "pad" -> id, those that there are.
        begins: Every text begins with the bos token.
        ends: Every text ends with the eos token.
        chat_template: One, or several by name.
    """

    kind: ByteLevelBpe | SentencePieceBpe
    tokens: list[str]
    types: list[int]
    special: Mapping[str, int]
    begins: bool
    ends: bool
    chat_template: str | Mapping[str, str] | None

    def add_to(self, writer: Any) -> None:
        """Add it to a `gguf.GGUFWriter`."""
        if isinstance(self.kind, SentencePieceBpe):
            self.kind.add_to(writer, self.tokens)
        else:
            self.kind.add_to(writer)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        for name, token in self.special.items():
            getattr(writer, f"add_{name}_token_id")(token)
        writer.add_add_bos_token(self.begins)
        writer.add_add_eos_token(self.ends)
        if isinstance(self.chat_template, str):
            writer.add_chat_template(self.chat_template)
        elif self.chat_template:
            writer.add_chat_template(
                [{"name": name, "template": template} for name, template in self.chat_template.items()]
            )


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, config: Any) -> GgufVocabulary:
    """The vocabulary of a tokenizer.

    Args:
        tokenizer: A fast tokenizer of transformers.
        config: Of its model: how many ids there are, and the end token where the tokenizer names none.

    Raises:
        UnsupportedExport: llama.cpp would give other ids, or it is not known whether it would.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise refused("is no fast tokenizer (tokenizer.json), so its merges cannot be read")
    spec = json.loads(backend.to_str())
    kind = _kind(spec)
    special = {name: _special(tokenizer, config, name) for name in ("bos", "eos", "unk", "pad")}
    if special["eos"] is None:
        raise refused("names no end token, for which llama.cpp would take one of its own")
    begins, ends = _ends(tokenizer, special)
    tokens, types = _listed(spec, int(config.vocab_size))
    if isinstance(kind, SentencePieceBpe) and special["unk"] is not None:
        types[special["unk"]] = _UNKNOWN
    known = {name: token for name, token in special.items() if token is not None}
    template: Any = getattr(tokenizer, "chat_template", None)
    return GgufVocabulary(kind, tokens, types, known, begins, ends, template)


def _kind(spec: Mapping[str, Any]) -> ByteLevelBpe | SentencePieceBpe:
    """How a tokenizer.json splits and merges; refuses what does so in a way that llama.cpp does not."""
    inner = spec["model"]
    if inner["type"] != "BPE":
        raise refused(f"is of the kind {inner['type']}, neither a byte-level BPE nor SentencePiece's")
    odd = [name for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if inner.get(name)]
    if odd:
        raise refused(f"has the setting {odd[0]} = {inner[odd[0]]!r}")
    for token in spec["added_tokens"]:
        trims = [name for name in ("lstrip", "rstrip", "single_word") if token[name]]
        if trims:
            raise refused(f"has the token {token['content']!r} with {trims[0]}")
    return sentencepiece_of(spec) if inner.get("byte_fallback") else byte_level_of(spec)


def _special(tokenizer: PreTrainedTokenizerBase, config: Any, name: str) -> int | None:
    """Id of a special token; what the tokenizer does not name may be in the config."""
    found: Any = getattr(tokenizer, f"{name}_token_id", None)
    if found is None:
        found = getattr(config, f"{name}_token_id", None)
    return (found[0] if found else None) if isinstance(found, list) else found


def _ends(tokenizer: PreTrainedTokenizerBase, special: Mapping[str, int | None]) -> tuple[bool, bool]:
    """Whether a text gets the bos token before it, and the eos token behind it."""
    bare = list(tokenizer("a", add_special_tokens=False).input_ids)
    full = list(tokenizer("a").input_ids)
    for begins, ends in product((False, True), repeat=2):
        if full == [special["bos"]] * begins + bare + [special["eos"]] * ends:
            return begins, ends
    raise refused(f"puts other tokens around a text than its bos and eos tokens: {full} around {bare}")


def _listed(spec: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Text and type of each of the model's ids."""
    inner = spec["model"]
    tokens = [f"[PAD{token}]" for token in range(size)]
    types = [_UNUSED] * size
    single = set(byte_pieces()) if inner.get("byte_fallback") else set()
    own = ((text, token, _BYTE if text in single else _NORMAL) for text, token in inner["vocab"].items())
    added = (
        (token["content"], token["id"], _CONTROL if token["special"] else _USER_DEFINED)
        for token in spec["added_tokens"]
    )
    for text, token, kind in (*own, *added):
        if token >= size:
            raise refused(f"has the token {text!r} with id {token}, where the model has {size} ids")
        tokens[token], types[token] = text, kind
    return tokens, types
