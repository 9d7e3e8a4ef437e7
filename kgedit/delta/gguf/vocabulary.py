"""A tokenizer as a GGUF file holds it, after checks that llama.cpp splits text into the same ids.

Only byte-level BPE vocabularies are written: what they merge is in the file, and how they split words first is one of
the splits whose ids were compared with llama.cpp's (`lm.sources.tokenizer.SPLITS`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase

from kgedit.errors import UnsupportedExport
from kgedit.lm.sources.tokenizer import split_of

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # token types of llama.cpp


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """What llama.cpp needs to split text as a tokenizer does.

    Attributes:
        split: `tokenizer.ggml.pre`.
        tokens: Text of each id; ids of the model that the tokenizer lacks have a text that no one writes.
        types: Type of each id.
        merges: Pairs in the order in which they were learnt, "left right".
        special: "bos", "eos", "unk" and "pad" -> id, those that there are.
        begins: Every text begins with the bos token.
        ends: Every text ends with the eos token.
        chat_template: One, or several by name.
    """

    split: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    special: Mapping[str, int]
    begins: bool
    ends: bool
    chat_template: str | Mapping[str, str] | None

    def add_to(self, writer: Any) -> None:
        """Add it to a `gguf.GGUFWriter`."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.split)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        writer.add_token_merges(self.merges)
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
        raise _unknown("is no fast tokenizer (tokenizer.json), so its merges cannot be read")
    spec = json.loads(backend.to_str())
    inner = spec["model"]
    _check_kind(spec, inner)
    split = split_of(spec["pre_tokenizer"], ignores_merges=bool(inner.get("ignore_merges")))
    if split is None:
        raise _unknown(f"splits words by {_short(spec['pre_tokenizer'])}, which is none of the known splits")
    special = {name: _special(tokenizer, config, name) for name in ("bos", "eos", "unk", "pad")}
    if special["eos"] is None:
        raise _unknown("names no end token, for which llama.cpp would take one of its own")
    begins, ends = _ends(tokenizer, special)
    tokens, types = _listed(inner["vocab"], spec["added_tokens"], int(config.vocab_size))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in inner["merges"]]
    known = {name: token for name, token in special.items() if token is not None}
    template: Any = getattr(tokenizer, "chat_template", None)
    return GgufVocabulary(split, tokens, types, merges, known, begins, ends, template)


def _check_kind(spec: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    """Refuse what is no byte-level BPE, or changes text or tokens in a way that llama.cpp does not."""
    if inner["type"] != "BPE" or inner.get("byte_fallback"):
        kind = "SentencePiece" if inner.get("byte_fallback") else inner["type"]
        raise _unknown(f"is of the kind {kind}, not a byte-level BPE")
    normalizer = spec["normalizer"]
    # Composing accents (NFC) leaves nearly all text as it is; every Qwen tokenizer does it, llama.cpp never.
    if normalizer is not None and normalizer["type"] != "NFC":
        raise _unknown(f"changes texts first, by {_short(normalizer)}")
    odd = [name for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if inner.get(name)]
    if odd:
        raise _unknown(f"has the setting {odd[0]} = {inner[odd[0]]!r}")
    lacking = sorted(set(ByteLevel.alphabet()) - inner["vocab"].keys())
    if lacking and inner.get("unk_token"):
        raise _unknown(f"has no token for the byte {lacking[0]!r} and says {inner['unk_token']!r} instead")
    for token in spec["added_tokens"]:
        trims = [name for name in ("lstrip", "rstrip", "single_word") if token[name]]
        if trims:
            raise _unknown(f"has the token {token['content']!r} with {trims[0]}")


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
    raise _unknown(f"puts other tokens around a text than its bos and eos tokens: {full} around {bare}")


def _listed(vocab: Mapping[str, int], added: list[Mapping[str, Any]], size: int) -> tuple[list[str], list[int]]:
    """Text and type of each of the model's ids."""
    tokens = [f"[PAD{token}]" for token in range(size)]
    types = [_UNUSED] * size
    for text, token, kind in (
        *((text, token, _NORMAL) for text, token in vocab.items()),
        *((each["content"], each["id"], _CONTROL if each["special"] else _USER_DEFINED) for each in added),
    ):
        if token >= size:
            raise _unknown(f"has the token {text!r} with id {token}, where the model has {size} ids")
        tokens[token], types[token] = text, kind
    return tokens, types


def _short(part: Any) -> str:
    text = json.dumps(part, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _unknown(reason: str) -> UnsupportedExport:
    return UnsupportedExport(
        f"the model's tokenizer {reason}: llama.cpp might give other token ids, so no GGUF file is written. An "
        "adapter (kgedit export gguf-lora) can be put on a GGUF file of the model that others made"
    )
