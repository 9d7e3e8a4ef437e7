"""The context length of a model: texts are checked against it, or lose their beginning to fit into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError
from kgedit.lm.anatomy import context_length
from kgedit.lm.tokens import TextTokens, encode_texts
from kgedit.text.boundary import stem

LEAST_ROOM = 16  # tokens kept for the answer to a prompt that fills the context


def check_room(model: PreTrainedModel, prompt: Sequence[int], behind: int) -> None:
    """Refuse a prompt that the model cannot read together with `behind` tokens after it.

    Raises:
        PromptError: The prompt is empty, or too long.
    """
    if not prompt:
        raise PromptError("a prompt has no token; give some text")
    if len(prompt) + behind > context_length(model):
        raise PromptError(
            f"a prompt of {len(prompt)} tokens and {behind} more do not fit into the context of "
            f"{context_length(model)} tokens; shorten it"
        )


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


def count_cut(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Mapping[str, int]) -> int:
    """How many different prompts lose their beginning because the context is too short; belongs into every report.

    Args:
        model: The model under test.
        tokenizer: Its tokenizer.
        prompts: Prompt -> tokens that are kept free behind it, for the target or the answer.
    """
    longest = context_length(model)
    texts = encode_texts(tokenizer, [stem(prompt) for prompt in prompts])
    return sum(len(text.ids) > longest - kept for text, kept in zip(texts, prompts.values(), strict=True))
