"""Where a generated answer ends: at an end-of-text token, a stop string, or the end of its sentence, line or block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.text.sentences import first_sentence, has_ended

Until = Literal["sentence", "line", "block", "limit"] | tuple[str, ...]
"""The end of the first sentence or line; of the line; a blank line; the limit alone; or any of some stop strings."""


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end every answer: the tokenizer's end of text, and those of the model's generation config.

    Chat models list several there, such as the end of the text and the end of a turn.
    """
    listed = getattr(model.generation_config, "eos_token_id", None)
    ends = [*listed] if isinstance(listed, list | tuple) else [listed]
    return frozenset(int(token) for token in (*ends, tokenizer.eos_token_id) if token is not None)


def answer_text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], ends: frozenset[int]) -> str:
    """New tokens as text, up to the first token that ends the answer (see `end_tokens`)."""
    stop = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    return str(tokenizer.decode(list(tokens[:stop]), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def is_over(text: str, until: Until) -> bool:
    """Whether a text holds the end of the answer; what follows would be cut off."""
    if until == "sentence":
        return has_ended(text)
    if until == "line":
        return "\n" in text
    if until == "block":
        return "\n\n" in text.lstrip()
    return until != "limit" and any(mark in text for mark in until)


def cut(text: str, until: Until) -> str:
    """The answer without what follows it and without white space around it; a stop string is no part of it."""
    if until == "sentence":
        return first_sentence(text)
    if until == "line":
        return text.partition("\n")[0].strip()
    if until == "block":
        return text.lstrip().partition("\n\n")[0].strip()
    marks = () if until == "limit" else until
    return text[: min((text.find(mark) for mark in marks if mark in text), default=len(text))].strip()
