"""Wordings of the free protocol: one prompt put as a chat, behind a distraction, negated, or as a choice of answers.

Each form is one of those under which published editors were found to fail although the plain prompt succeeds:
distracting prefixes (CHED, 2025), negated questions ("Built on Sand", 2025), multiple choice from memory (SA-MCQ,
2026), and the question after the model has told about the subject first (CODE, 2026).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from kgedit.evaluate.benchmarks.case import FollowUp
from kgedit.lm.chat import has_chat_form, in_chat_form, in_chat_turns
from kgedit.lm.generation.greedy import Ask
from kgedit.text.names import contains, starts_with

LIMIT = 32  # tokens of an answer that never stops
ABOUT_LIMIT = 64  # tokens of what is told about the subject
_UNSURE = "I am not sure"
_COPULA = re.compile(r"\b(?:is|are|was|were)$")
_LETTER = re.compile(r"[\s(*\"']*([A-Ca-c])(?:[.):*]|\s*$)|.*\b(?i:answer|option|choice)(?: is|:)?[\s(*\"']*([A-C])\b")
_ANSWER = "\N{OBJECT REPLACEMENT CHARACTER}"  # stands for an answer that is not given yet


class Choice(NamedTuple):
    """A question with three lettered answers: the new object, the old one, and that nothing is known."""

    prompt: str
    options: tuple[str, str, str]
    right: int

    def chosen(self, said: str) -> int | None:
        """Which answer a text chooses, by its letter or by naming it alone; None if by neither, or if they differ."""
        letter = _LETTER.match(said)
        chosen = {"ABC".index((letter[1] or letter[2]).upper())} if letter else set()
        named = {place for place, option in enumerate(self.options) if contains(said, [option])}
        agreed = chosen & named if chosen and len(named) == 1 else chosen or named
        return agreed.pop() if len(agreed) == 1 else None


def ask(prompt: str) -> Ask:
    """A prompt to be answered up to a natural stop: the end of text, of the line or of the sentence."""
    return Ask(prompt, LIMIT, "sentence")


def in_chat(tokenizer: PreTrainedTokenizerBase, text: str, *, system: str | None = None) -> str | None:
    """The prompt as a user's turn, behind a system prompt or the template's own; None where it is no chat model."""
    return in_chat_form(tokenizer, text, system=system) if has_chat_form(tokenizer) else None


def distracted(text: str, old: str, neighbours: Sequence[str]) -> str:
    """The prompt behind a true sentence that has the old object: of a neighbour where there is one."""
    sentence = f"{neighbours[0]} {old}" if neighbours else f"Many people have heard of {old}"
    return f"{sentence}. {text}"


def negated(text: str) -> str:
    """The prompt negated, so that the new object is no right answer any more."""
    if text.endswith("?"):
        return f"Name a wrong answer to this question. {text}"
    return f"{text} not" if _COPULA.search(text) else f"It is not true that {text}"


def choice(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    new: str,
    old: str,
    rng: random.Random,
    *,
    system: str | None = None,
) -> Choice:
    """The prompt with lettered answers in random order, to be answered from memory; as a chat where there is one."""
    places = rng.sample(range(3), 3)
    answers = (new, old, _UNSURE)
    options = (answers[places[0]], answers[places[1]], answers[places[2]])
    lettered = "\n".join(f"{letter}. {option}" for letter, option in zip("ABC", options, strict=True))
    question = text if text.endswith("?") else f"{text} ..."
    asked = f"Answer from your own memory, with one letter.\n{question}\n{lettered}"
    return Choice(in_chat(tokenizer, asked, system=system) or f"{asked}\nAnswer:", options, places.index(0))


def after_telling(
    tokenizer: PreTrainedTokenizerBase, subject: str, text: str, *, system: str | None = None
) -> FollowUp:
    """The prompt behind what the model itself tells about the subject."""
    if has_chat_form(tokenizer):
        tell = ("user", f"Tell me about {subject} in one sentence.")
        first = in_chat_turns(tokenizer, [tell], system=system)
        both = in_chat_turns(tokenizer, [tell, ("assistant", _ANSWER), ("user", text)], system=system)
        before, told, behind = both.partition(_ANSWER)
        if told:
            return FollowUp(Ask(first, ABOUT_LIMIT, "line"), before, behind, LIMIT)
    first = f"{subject} is"
    return FollowUp(Ask(first, ABOUT_LIMIT, "sentence"), f"{first} ", f" {text}", LIMIT)


def without_echo(said: str, statement: str) -> str:
    """An answer without the statement that it repeats first, as chat models do: "X is a citizen of France."."""
    line = said.lstrip(" \"'")
    return line[len(statement) :].lstrip(" :") if statement and starts_with(line, statement) else said
