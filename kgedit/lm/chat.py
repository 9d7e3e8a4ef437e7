"""Puts a question into the form in which a chat model was trained to be asked: its own chat template."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from kgedit.errors import ChatTemplateError


def in_chat_form(tokenizer: PreTrainedTokenizerBase, prompt: str, *, system: str | None = None) -> str:
    """The prompt as the user's turn, up to where the model's answer begins.

    Args:
        tokenizer: The model's, with a chat template.
        prompt: What the user says.
        system: System prompt; by default whatever the template has.

    Returns:
        A text to be tokenised as any other: what the tokenizer itself puts before a text is left out.

    Raises:
        ChatTemplateError: The model has no chat template, or it fails on these turns.
    """
    return in_chat_turns(tokenizer, [*([("system", system)] if system else []), ("user", prompt)])


def has_chat_form(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model was trained as a chat model: its tokenizer has a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def in_chat_turns(tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]]) -> str:
    """Several turns, up to where the model's next answer begins.

    Args:
        tokenizer: The model's, with a chat template.
        turns: Pairs of a role ("system", "user", "assistant") and what is said.

    Raises:
        ChatTemplateError: As in `in_chat_form`.
    """
    if not has_chat_form(tokenizer):
        raise ChatTemplateError("this model has no chat template, so it was not trained as a chat model; leave --chat")
    messages = [{"role": role, "content": text} for role, text in turns]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except (TemplateError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ChatTemplateError(f"the chat template of this model fails: {reason}") from error
    bos = tokenizer.bos_token
    adds_bos = bos is not None and tokenizer("x").input_ids[:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds_bos and bos else text
