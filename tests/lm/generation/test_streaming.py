"""A text that is read while it grows is the greedy continuation, and ends where the model ends it."""

from __future__ import annotations

import pytest

from kgedit.errors import PromptError
from kgedit.lm.generation.greedy import complete
from kgedit.lm.generation.streaming import stream
from kgedit.lm.load import load_model
from lm.generation.test_greedy import speaking


def test_each_text_goes_on_with_the_one_before_and_the_last_is_the_greedy_one() -> None:
    model, tokenizer = load_model("mini")
    prompt = "Albert Einstein is a citizen of "  # the space at its end is no part of it
    texts = list(stream(model, tokenizer, prompt, max_new_tokens=12))
    assert 1 < len(texts) <= 12
    assert all(after.startswith(before) for before, after in zip(texts, texts[1:], strict=False))
    (whole,) = complete(model, tokenizer, [prompt], max_new_tokens=12, stop=())
    assert texts[-1].strip() == whole
    assert whole.startswith("United States of America")
    with pytest.raises(PromptError):
        next(stream(model, tokenizer, " "))


def test_half_a_letter_is_not_shown() -> None:
    model, tokenizer = speaking("\u65e5\u672c", "Tokyo lies in")  # each letter is several tokens
    texts = list(stream(model, tokenizer, "Tokyo lies in", max_new_tokens=8))
    assert texts[-1].strip().startswith("\u65e5\u672c")
    assert not any("\ufffd" in text for text in texts)
