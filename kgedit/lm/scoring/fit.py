"""Texts as the model under test can read them: prompts that are too long lose their beginning, and are counted."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError
from kgedit.lm.anatomy import context_length
from kgedit.lm.tokens import TextTokens, encode_texts

ANSWER_SUFFIX = " The answer to this question, most simply, is"
LEAST_ROOM = 16  # tokens kept for the answer to a prompt that fills the context


def fit(text: TextTokens, room: int) -> tuple[int, ...]:
    """Token ids of a prompt, its beginning cut off where it has more than `room` tokens; BOS stays.

    Raises:
        PromptError: There is no room for a single token, or the prompt has none.
    """
    if len(text.ids) <= text.leading:
        raise PromptError("a prompt has no token; give some text")
    if room <= text.leading:
        raise PromptError(f"the context has room for {room} tokens of a prompt; ask for a shorter answer")
    if len(text.ids) <= room:
        return text.ids
    return (*text.ids[: text.leading], *text.ids[len(text.ids) - room + text.leading :])


def count_cut(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Iterable[str], *, reserve: int = 0
) -> int:
    """How many different prompts lose their beginning because the context is too short; belongs into every report.

    Args:
        model: The model under test.
        tokenizer: Its tokenizer.
        prompts: Texts.
        reserve: Tokens kept free behind the prompt, for the target or the answer.
    """
    texts = list(dict.fromkeys(prompts))
    room = context_length(model) - reserve
    return sum(len(text.ids) > room for text in encode_texts(tokenizer, [text.rstrip(" ") for text in texts]))


def as_cloze(text: str) -> str:
    """A question with the suffix that the paper's evaluation puts behind it; any other text as it is."""
    text = text.strip()
    return text + ANSWER_SUFFIX if text.endswith("?") else text
