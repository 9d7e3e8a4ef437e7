"""A prompt too long for the context is refused, or loses its beginning and keeps BOS."""

from __future__ import annotations

import pytest

from families import CONTEXT, tiny_model
from kgedit.errors import PromptError
from kgedit.lm.context import check_room, fit
from kgedit.lm.tokens import TextTokens


def test_cutting_keeps_bos_and_the_end() -> None:
    text = TextTokens(ids=(1, 10, 11, 12), spans=((0, 0), (0, 1), (1, 2), (2, 3)), leading=1)
    assert fit(text, 4) == (1, 10, 11, 12)
    assert fit(text, 3) == (1, 11, 12)
    with pytest.raises(PromptError, match="room for 1 tokens"):
        fit(text, 1)
    with pytest.raises(PromptError, match="no token"):
        fit(TextTokens(ids=(1,), spans=((0, 0),), leading=1), 4)


def test_a_prompt_must_leave_room_for_what_follows() -> None:
    model, _ = tiny_model("gpt2")
    check_room(model, [5] * (CONTEXT - 1), 1)
    with pytest.raises(PromptError, match=f"prompt of {CONTEXT} tokens and 1 more .* context of {CONTEXT} tokens"):
        check_room(model, [5] * CONTEXT, 1)
    with pytest.raises(PromptError, match="no token"):
        check_room(model, [], 1)
