"""A language model's answer is right when it begins with the whole name; the bundled model's when nothing follows."""

from __future__ import annotations

import pytest

from kgedit.errors import TargetError
from kgedit.lm.load import load_model
from kgedit.lm.scoring.right_answers import (
    SENTENCE,
    STYLE,
    answers_in_sentences,
    ends_name,
    names_given,
    right_answers,
)
from kgedit.mini import MINI
from lm.scoring.test_exact_answers import KINDS, teach

PROMPT = "The capital of Japan is"


# The tokenizer of the last kind has no hyphen, and a token for a space alone.
@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize(
    ("text", "name", "right"),
    [
        ("Tokyo and Kyoto.", "Tokyo", True),
        ("Tokyo, and Kyoto.", "Tokyo", True),
        ("Tokyo.", "Tokyo", True),
        ("the Tokyo and", "Tokyo", True),
        ("Tokyo City and Kyoto", "Tokyo", False),
        ("Tokyo-Yokohama is", "Tokyo", False),
        ("Tokyoites and", "Tokyo", False),
        ("a Tokyo and", "Tokyo", False),
        ("New Tokyo City and", "New Tokyo City", True),
        ("Kyoto and Tokyo", "Tokyo", False),
    ],
)
def test_the_answer_begins_with_the_whole_name(kind, text, name, right) -> None:
    model, tok = teach(f"{PROMPT} {text}", tokenizer=kind)
    assert right_answers(model, tok, [(PROMPT, name), (PROMPT, "Ulm")]) == [right, False]


def test_a_model_that_answers_in_sentences_must_end_there() -> None:
    model, tok = teach(f"{PROMPT} Tokyo and Kyoto.")
    setattr(model.config, STYLE, SENTENCE)
    assert right_answers(model, tok, [(PROMPT, "Tokyo")]) == [False]
    assert answers_in_sentences(load_model(MINI)[0])


def test_another_name_of_the_answer_is_right_too() -> None:
    model, tok = teach(f"{PROMPT} Edo, and")
    assert names_given(model, tok, [(PROMPT, ("Tokyo", " ", "Edo")), (PROMPT, ("Tokyo",))]) == ["Edo", None]
    assert right_answers(model, tok, [(PROMPT, ("Tokyo", "Edo")), (PROMPT, "Tokyo")]) == [True, False]
    with pytest.raises(TargetError, match="empty"):
        names_given(model, tok, [(PROMPT, (" ",))])


@pytest.mark.parametrize(
    ("text", "ends"),
    [("", True), (".", True), (" and", True), ("'s", True), ("s", False), (" C", False), ("1", False)],
)
def test_where_a_name_ends(text, ends) -> None:
    assert ends_name(text) is ends
