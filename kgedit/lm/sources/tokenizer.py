"""Prepares text as llama.cpp does for a GGUF file, so that the same text gives the same token ids.

A byte-level vocabulary's merges give the model's own tokens only when text is first split as it was in training. A
GGUF file names that split in `tokenizer.ggml.pre`; the expressions are those of llama.cpp (src/llama-vocab.cpp), one
after the other. A SentencePiece vocabulary splits nothing: spaces become marks, and unless the file says otherwise one
more mark stands before what begins the text or follows a control token. The tokens of both are compared with
llama.cpp's own in tests/lm/sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from kgedit.errors import UnsupportedModel
from kgedit.lm.sources.gguf_file import field

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DIGIT = r"\p{N}"
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", _DIGIT)

# Name in `tokenizer.ggml.pre` -> expressions, applied in turn to what the one before has left.
SPLITS: Mapping[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "olmo": (_GPT2,),
    "smollm": (_DIGIT, _GPT2),
    "starcoder": (_DIGIT, _GPT2),
    "refact": (_DIGIT, _GPT2),
    "command-r": (_DIGIT, _GPT2),
    "llama-bpe": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "smaug-bpe": (_LLAMA3,),
    "dbrx": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "deepseek-r1-qwen": (_QWEN2,),
}
# Those by which a word that is a token as a whole stays one, whatever the merges would make of it.
_IGNORING_MERGES = ("llama-bpe", "llama3")


def split_of(pre_tokenizer: Mapping[str, Any] | None, *, ignores_merges: bool) -> str | None:
    """The name that llama.cpp has for the split of a byte-level tokenizer.

    Args:
        pre_tokenizer: As in a tokenizer.json.
        ignores_merges: Whether a word that is a token as a whole stays one.

    Returns:
        A name of `SPLITS`; None where the split is none of these.
    """
    found = _expressions(pre_tokenizer or {})
    names = (name for name, steps in SPLITS.items() if steps == found)
    return next((name for name in names if (name in _IGNORING_MERGES) == ignores_merges), None)


def _expressions(pre_tokenizer: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The expressions by which text is split in turn; None where it is split, or changed, by anything else."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    expressions = []
    for step in steps[:-1]:
        if step["type"] == "Digits" and step["individual_digits"]:
            expressions.append(_DIGIT)
        elif step["type"] == "Split" and (step["behavior"], step["invert"]) == ("Isolated", False):
            expressions.append(step["pattern"].get("Regex"))
        else:
            return None
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last["add_prefix_space"]:
        return None
    return (*expressions, _GPT2) if last["use_regex"] else tuple(expressions)


_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # values of `tokenizer.ggml.token_type` that are matched whole


def tokenized_as_llama_cpp(tokenizer: Any, reader: Any) -> Any:
    """The tokenizer of a GGUF file, with text prepared as the file says.

    Args:
        tokenizer: The fast tokenizer that transformers makes of the file; changed in place.
        reader: The `gguf.GGUFReader` on the file.

    Returns:
        A tokenizer that is the same after it was saved and loaded.

    Raises:
        UnsupportedModel: The split is not in the table, so ids would differ from those that the model was made with.
    """
    kind = field(reader, "tokenizer.ggml.model")
    if kind == "gpt2":
        _split_words(tokenizer.backend_tokenizer, field(reader, "tokenizer.ggml.pre"))
    elif kind == "llama":
        # The class of transformers for the family would lay out its own preparation whenever it is loaded.
        kept = ("bos_token", "eos_token", "unk_token", "pad_token", "chat_template", "add_bos_token", "add_eos_token")
        settings = {name: getattr(tokenizer, name) for name in kept}
        return PreTrainedTokenizerFast(tokenizer_object=_sentencepiece(reader), **settings)  # type: ignore[no-untyped-call]
    return tokenizer


def _split_words(backend: Any, split: str | None) -> None:
    if split is None or split not in SPLITS:
        raise UnsupportedModel(
            f"the tokenizer of this GGUF file splits words as {split!r} does, which is unknown here, so its token ids "
            f"might be wrong; known are {', '.join(SPLITS)}. Use the model's own folder from the hub instead."
        )
    steps = [pre_tokenizers.Split(Regex(expression), behavior="isolated") for expression in SPLITS[split]]
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def _sentencepiece(reader: Any) -> Tokenizer:
    """The vocabulary of a file: pieces are merged by their scores, characters that have none become bytes."""
    pieces, scores, types = (field(reader, f"tokenizer.ggml.{name}") for name in ("tokens", "scores", "token_type"))
    vocab = {piece: number for number, piece in enumerate(pieces)}
    first = [piece for _, piece in sorted(zip(scores, pieces, strict=True), key=lambda row: -row[0])]
    halves = ((piece[:cut], piece[cut:]) for piece in first for cut in range(len(piece) - 1, 0, -1))
    merges = [(left, right) for left, right in halves if left in vocab and right in vocab]
    made = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True))
    for special, kinds in ((True, (_UNKNOWN, _CONTROL)), (False, (_USER_DEFINED,))):
        whole = [piece for piece, kind in zip(pieces, types, strict=True) if kind in kinds]
        made.add_tokens([AddedToken(piece, normalized=False, special=special) for piece in whole])
    marks = normalizers.Replace(" ", "▁")
    undone = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if field(reader, "tokenizer.ggml.add_space_prefix", True):
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), marks])
        made.decoder = decoders.Sequence([*undone, decoders.Strip(" ", 1, 0)])
    else:
        made.normalizer = marks
        made.decoder = decoders.Sequence(undone)
    return made
