"""Questions as GLAME's evaluation asks them: with a suffix behind, so that the answer is their continuation."""

from __future__ import annotations

ANSWER_SUFFIX = " The answer to this question, most simply, is"


def as_cloze(text: str) -> str:
    """A question with the suffix behind it; any other text as it is."""
    question = text.strip()
    return question + ANSWER_SUFFIX if question.endswith("?") else text
