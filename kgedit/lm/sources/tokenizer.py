"""Splits text into words as llama.cpp does for a GGUF file, so that the same text gives the same token ids.

A byte-level vocabulary's merges give the model's own tokens only when text is first split as it was in training. A
GGUF file names that split in `tokenizer.ggml.pre`; the expressions are those of llama.cpp (src/llama-vocab.cpp), one
after the other. The tokens of every name below are compared with llama.cpp's own in tests/lm/sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Regex, pre_tokenizers

from kgedit.errors import UnsupportedModel

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

# Name in `tokenizer.ggml.pre` -> expressions, applied in turn to what the one before has left.
SPLITS: Mapping[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "olmo": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "starcoder": (r"\p{N}", _GPT2),
    "refact": (r"\p{N}", _GPT2),
    "command-r": (r"\p{N}", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "smaug-bpe": (_LLAMA3,),
    "dbrx": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "deepseek-r1-qwen": (_QWEN2,),
}


def split_as_llama_cpp(tokenizer: Any, kind: str, split: str | None) -> None:
    """Set the pre-tokenizer of a byte-level tokenizer to the split that the GGUF file names.

    Args:
        tokenizer: A fast tokenizer of transformers; changed in place.
        kind: `tokenizer.ggml.model`; SentencePiece vocabularies ("llama") have no such split.
        split: `tokenizer.ggml.pre`.

    Raises:
        UnsupportedModel: The split is not in the table, so ids would differ from those that the model was made with.
    """
    if kind != "gpt2":
        return
    if split is None or split not in SPLITS:
        raise UnsupportedModel(
            f"the tokenizer of this GGUF file splits words as {split!r} does, which is unknown here, so its token ids "
            f"might be wrong; known are {', '.join(SPLITS)}. Use the model's own folder from the hub instead."
        )
    steps = [pre_tokenizers.Split(Regex(expression), behavior="isolated") for expression in SPLITS[split]]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
