"""Puts a question into the form in which a chat model was trained to be asked: its own chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from kgedit.errors import ChatTemplateError
from kgedit.io.text import sentence
from kgedit.text.boundary import stem
from kgedit.text.template import LITERAL, SLOT, split_slot

ChatChoice = Literal["auto", "always", "never"]

_SUBJECT = "\ue000"  # stands for the subject while the template is applied; no text has it


@dataclass(frozen=True)
class ChatForm:
    """How a chat model is asked while it is edited.

    Attributes:
        tokenizer: The model's, with a chat template.
        system: System prompt; by default whatever the template has.
        questions: Property -> question with one slot, for edits that name a property.
    """

    tokenizer: PreTrainedTokenizerBase
    system: str | None = None
    questions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def chosen(
        cls,
        choice: ChatChoice,
        tokenizer: PreTrainedTokenizerBase,
        *,
        system: str | None = None,
        questions: Mapping[str, str] = MappingProxyType({}),
    ) -> ChatForm | None:
        """The form that a choice means for a model; None where it is not edited as a chat.

        Raises:
            ChatTemplateError: "always" for a model without a chat template, or the template fails; or a system prompt
                is given for no chat.
        """
        if choice == "never" and system is not None:
            raise ChatTemplateError("a system prompt belongs to a chat; choose chat auto or always, or leave it out")
        if choice == "never" or (choice == "auto" and not has_chat_form(tokenizer)):
            return None
        form = cls(tokenizer, system, questions)
        form.template("{}?")  # fails now, if it does
        return form

    def templates(self, prompt: str, relation: str | None) -> list[str]:
        """An edit's prompt as a user's turn, and the question of its property, if there is one."""
        question = self.questions.get(relation or "")
        asked = [prompt] if question is None else [prompt, question]
        return [self.template(text) for text in asked]

    def turn(self, text: str) -> str:
        """A whole text as the user's turn.

        Raises:
            ChatTemplateError: See `in_chat_form`.
        """
        return in_chat_form(self.tokenizer, text, system=self.system)

    def template(self, question: str) -> str:
        """A question with one slot for the subject as the user's turn, up to where the answer begins.

        What the template itself puts around it keeps its braces.

        Raises:
            ChatTemplateError: See `in_chat_form`.
        """
        before, after = split_slot(stem(question))
        told = self.turn(f"{before}{_SUBJECT}{after}")
        if told.count(_SUBJECT) != 1:
            raise ChatTemplateError(
                f"the chat template of this model has the user's turn {told.count(_SUBJECT)} times; edit with "
                "--chat never"
            )
        return told.replace(SLOT, LITERAL).replace(_SUBJECT, SLOT)


def noted(form: ChatForm | None) -> dict[str, Any]:
    """System prompt and template for the manifest of an edit; nothing where it was not made in chat form."""
    if form is None:
        return {}
    return {"chat": {"system": form.system, "template": str(form.tokenizer.chat_template)}}


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
    return in_chat_turns(tokenizer, [("user", prompt)], system=system)


def before_question(tokenizer: PreTrainedTokenizerBase, *, system: str | None = None) -> str:
    """What stands before the user's words in `in_chat_form`; nothing where the model is no chat model.

    Raises:
        ChatTemplateError: The chat template fails.
    """
    if not has_chat_form(tokenizer):
        return ""
    head, asked, _ = in_chat_form(tokenizer, _SUBJECT, system=system).partition(_SUBJECT)
    return head if asked else ""


def has_chat_form(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model was trained as a chat model: its tokenizer has a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def in_chat_turns(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]], *, system: str | None = None
) -> str:
    """Several turns, up to where the model's next answer begins.

    Args:
        tokenizer: The model's, with a chat template.
        turns: Pairs of a role ("user", "assistant") and what is said.
        system: System prompt before them; by default whatever the template has.

    Raises:
        ChatTemplateError: As in `in_chat_form`.
    """
    if not has_chat_form(tokenizer):
        raise ChatTemplateError("this model has no chat template, so it was not trained as a chat model; leave --chat")
    first = [("system", system)] if system else []
    messages = [{"role": role, "content": text} for role, text in (*first, *turns)]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template is a program of its author
        reason = sentence(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        raise ChatTemplateError(
            f"the chat template of this model fails: {reason} Correct chat_template.jinja or tokenizer_config.json of "
            "the model, or use it without a chat"
        ) from error
    if not text.strip():
        raise ChatTemplateError("the chat template of this model gives no text; use the model without a chat")
    bos = tokenizer.bos_token
    adds_bos = bos is not None and tokenizer("x").input_ids[:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds_bos and bos else text
