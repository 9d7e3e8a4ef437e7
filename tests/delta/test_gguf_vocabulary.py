"""A tokenizer in a GGUF file gives in llama.cpp the ids that it gives in transformers, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from families import SENTENCES, tiny_model, tiny_tokenizer
from kgedit.delta.gguf.from_model import gguf_from_model
from kgedit.delta.gguf.sentencepiece import byte_pieces, sentencepiece_of
from kgedit.delta.gguf.vocabulary import vocabulary_of
from kgedit.errors import UnsupportedExport
from kgedit.lm.sources.convert import converted
from kgedit.lm.sources.gguf_file import field, open_gguf
from kgedit.lm.sources.tokenizer import SPLITS
from llama_cpp import LlamaCpp
from tiny_gguf import write_tiny_llama

TEXTS = (
    "naïve café, Søren Kierkegaard, Zürich, Łódź", "北京 東京都 서울", "🎉 👨‍👩‍👧 family", "1879, 7,890.12 and ٣٤٥",
    "I'M we'LL don't", "x\n\n  12 y\t z  ", "a/b_c-d!! ??", "Москва Αθήνα القاهرة मुंबई", "</s> and <s>them", "a<tool>b",
)  # fmt: skip

SPM_TEXTS = (
    *TEXTS, *SENTENCES, "", " ", "  a", " a", "a  b   c", "<think> a <think>  b", "a</s> b", "<0x41>", "a▁b",
    *(f"a{' ' * count}b" for count in range(2, 14)),
)  # fmt: skip


def split_by(*expressions: str) -> pre_tokenizers.PreTokenizer:
    steps = [pre_tokenizers.Split(Regex(expression), behavior="isolated") for expression in expressions]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


DIGITS = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
KINDS = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": DIGITS,
    "smaug-bpe": split_by(*SPLITS["llama3"]),
    "llama-bpe": split_by(*SPLITS["llama3"]),
    "qwen2": split_by(*SPLITS["qwen2"]),
}


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_ids_are_those_of_llama_cpp(name: str, bos: bool, tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama", bos=bos)
    tokenizer.add_tokens(["<tool>"])
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = KINDS[name]
    backend.model.ignore_merges = name == "llama-bpe"
    file = gguf_from_model(model, tokenizer, tmp_path / "m.gguf")
    assert field(open_gguf(file), "tokenizer.ggml.pre") == name
    judge = LlamaCpp(file)
    assert [text for text in TEXTS if judge.tokenize(text) != tokenizer(text).input_ids] == []


def test_what_else_the_tokenizer_has_is_in_the_file(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama")
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    reader = open_gguf(gguf_from_model(model, tokenizer, tmp_path / "m.gguf"))
    for name in ("bos", "eos", "unknown", "padding"):
        short = {"unknown": "unk", "padding": "pad"}.get(name, name)
        assert field(reader, f"tokenizer.ggml.{name}_token_id") == getattr(tokenizer, f"{short}_token_id")
    assert field(reader, "tokenizer.chat_template") == tokenizer.chat_template
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert len(tokens) == len(set(tokens)) == model.config.vocab_size > len(tokenizer)
    assert field(reader, "tokenizer.ggml.token_type")[-1] == 5


def test_the_tokenizers_of_gpt2_and_qwen_are_known() -> None:
    inner = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    parts = {"vocab": inner["vocab"], "merges": [tuple(pair) for pair in inner["merges"]]}
    config = SimpleNamespace(vocab_size=500)
    assert vocabulary_of(GPT2Tokenizer(**parts), config).kind.split == "gpt-2"
    assert vocabulary_of(Qwen2Tokenizer(**parts), config).kind.split == "qwen2"


def ending(tokenizer: PreTrainedTokenizerFast, token: str) -> None:
    steps = processors.TemplateProcessing(single=f"$A {token}", special_tokens=[(token, 3)])
    tokenizer.backend_tokenizer.post_processor = steps


def without_end(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.eos_token = None


def setting(name: str, value: Any) -> Callable[[PreTrainedTokenizerFast], None]:
    return lambda tokenizer: setattr(tokenizer.backend_tokenizer, name, value)


UNKNOWN: dict[str, tuple[str, Callable[[PreTrainedTokenizerFast], Any]]] = {
    "another split": ("splits words by", setting("pre_tokenizer", split_by(r"\p{L}+|\s+"))),
    "a space before the text": (
        "splits words by",
        setting("pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)),
    ),
    "no split": ("splits words by", setting("pre_tokenizer", None)),
    "whole words under another split": (
        "splits words by",
        lambda tokenizer: setattr(tokenizer.backend_tokenizer.model, "ignore_merges", True),
    ),
    "lower case": ("changes texts first", setting("normalizer", normalizers.Lowercase())),
    "another token at the end": ("other tokens around", lambda tokenizer: ending(tokenizer, "<pad>")),
    "no end token": ("no end token", without_end),
    "a token that trims": ("with lstrip", lambda tokenizer: tokenizer.add_tokens([AddedToken("<x>", lstrip=True)])),
    "more ids than the model": (
        "where the model has 420 ids",
        lambda tokenizer: tokenizer.add_tokens([f"<{number}>" for number in range(9)]),
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_tokenizer_that_llama_cpp_might_read_otherwise_is_refused(what: str) -> None:
    reason, change = UNKNOWN[what]
    tokenizer = tiny_tokenizer()
    config = SimpleNamespace(vocab_size=len(tokenizer), eos_token_id=None)
    vocabulary_of(tokenizer, config)
    change(tokenizer)
    with pytest.raises(UnsupportedExport, match=reason):
        vocabulary_of(tokenizer, config)


def test_a_vocabulary_of_another_kind_is_refused() -> None:
    tokenizer = tiny_tokenizer("unigram")
    with pytest.raises(UnsupportedExport, match="neither a byte-level BPE nor SentencePiece's"):
        vocabulary_of(tokenizer, SimpleNamespace(vocab_size=len(tokenizer)))


MARKS = normalizers.Replace(" ", "▁")
PREPARED = {
    "before every stretch": (normalizers.Sequence([normalizers.Prepend("▁"), MARKS]), None),
    "always": (None, pre_tokenizers.Metaspace(prepend_scheme="always", split=False)),
    "first": (None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "never": (None, pre_tokenizers.Metaspace(prepend_scheme="never", split=False)),
    "marks alone": (MARKS, None),
}


def sentencepiece(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer with every pair of its pieces among its merges, as transformers converts them."""
    write_tiny_llama(folder / "origin.gguf", sentencepiece=True, bos=True)
    return AutoTokenizer.from_pretrained(converted(folder / "origin.gguf", folder))


@pytest.mark.parametrize("how", PREPARED)
def test_ids_of_sentencepiece_are_those_of_llama_cpp(how: str, tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path)
    tokenizer.backend_tokenizer.normalizer, tokenizer.backend_tokenizer.pre_tokenizer = PREPARED[how]
    model, _ = tiny_model("llama", vocab_size=len(tokenizer) + 3)
    file = gguf_from_model(model, tokenizer, tmp_path / "m.gguf")
    assert field(open_gguf(file), "tokenizer.ggml.add_space_prefix") == (how not in ("never", "marks alone"))
    judge = LlamaCpp(file)
    # "always" and "first" put no second space before a text, or none behind a token that is matched whole.
    alike = how not in ("always", "first")
    texts = [text for text in SPM_TEXTS if alike or not (text.startswith(" ") or "<" in text or " " * 6 in text)]
    assert len(texts) > 20
    assert [text for text in texts if judge.tokenize(text) != tokenizer(text).input_ids] == []
    again = AutoTokenizer.from_pretrained(converted(file, tmp_path))
    assert [text for text in texts if again(text).input_ids != tokenizer(text).input_ids] == []


def without_pair(inner: dict[str, Any]) -> None:
    """The second of two pairs that give the same piece goes."""
    results = ["".join(pair) for pair in inner["merges"]]
    inner["merges"].pop(next(i for i, piece in enumerate(results) if piece in results[:i]))


def in_another_place(inner: dict[str, Any]) -> None:
    results = ["".join(pair) for pair in inner["merges"]]
    again = next(i for i, piece in enumerate(results) if piece in results[:i])
    inner["merges"].append(inner["merges"].pop(again))


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("never merges", without_pair),
        ("at two places in the order", in_another_place),
        ("takes words that are tokens", lambda inner: inner.update(ignore_merges=True)),
        ("has no token '<0x41>'", lambda inner: inner["vocab"].update({"?": inner["vocab"].pop("<0x41>")})),
    ],
)
def test_pieces_that_llama_cpp_might_merge_otherwise_are_refused(
    reason: str, change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    tokenizer = sentencepiece(tmp_path)
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    change(spec["model"])
    changed = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(spec)), eos_token="</s>")
    with pytest.raises(UnsupportedExport, match=reason):
        vocabulary_of(changed, SimpleNamespace(vocab_size=len(tokenizer)))


def test_runs_of_spaces_have_one_score_where_their_pairs_are_listed_by_length() -> None:
    vocab = [*byte_pieces(), "▁", "a", "▁▁", "▁▁▁", "▁▁▁▁", "▁a"]
    pairs = [("▁", "a"), ("▁▁▁", "▁"), ("▁▁", "▁"), ("▁▁", "▁▁"), ("▁", "▁▁"), ("▁", "▁▁▁"), ("▁", "▁")]
    marks = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    inner = {"vocab": {piece: i for i, piece in enumerate(vocab)}, "merges": pairs}
    spec = {"model": inner, "added_tokens": [], "normalizer": marks, "pre_tokenizer": None}
    assert sentencepiece_of(spec).scores == {"▁a": 0.0, "▁▁▁▁": -1.0, "▁▁▁": -1.0, "▁▁": -1.0}


def test_sentencepiece_that_splits_at_spaces_is_refused(tmp_path: Path) -> None:
    tokenizer = sentencepiece(tmp_path)
    tokenizer.backend_tokenizer.normalizer = None
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    with pytest.raises(UnsupportedExport, match="prepares texts by"):
        vocabulary_of(tokenizer, SimpleNamespace(vocab_size=len(tokenizer)))
