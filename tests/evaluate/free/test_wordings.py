"""Forms of one prompt: what each model is given, letter by letter."""

from __future__ import annotations

import random

import pytest
from transformers import PreTrainedTokenizerBase

from kgedit.errors import ChatTemplateError
from kgedit.evaluate.free.wordings import Choice, after_telling, choice, distracted, in_chat, negated, without_echo
from kgedit.lm.chat import before_question
from kgedit.lm.load import load_model
from kgedit.mini import MINI

TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]"
TEXT = "The capital of France is"


@pytest.fixture
def base() -> PreTrainedTokenizerBase:
    return load_model(MINI)[1]


@pytest.fixture
def chat(base: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    base.chat_template = TEMPLATE
    return base


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, "The capital of France is not"),
        ("Marie Curie was born in", "It is not true that Marie Curie was born in"),
        ("Is it?", "Name a wrong answer to this question. Is it?"),
        ("This is", "This is not"),
        ("The oasis", "It is not true that The oasis"),
    ],
)  # fmt: skip
def test_a_negated_prompt_no_longer_asks_for_the_object(text: str, expected: str) -> None:
    assert negated(text) == expected


def test_a_distraction_is_a_true_sentence_with_the_old_object() -> None:
    assert distracted(TEXT, "Rome", ["The capital of Italy is"]) == f"The capital of Italy is Rome. {TEXT}"
    assert distracted(TEXT, "Rome", []) == f"Many people have heard of Rome. {TEXT}"


def test_only_chat_models_are_asked_as_a_chat(base) -> None:
    assert in_chat(base, TEXT) is None
    base.chat_template = TEMPLATE
    assert in_chat(base, TEXT) == f"[user]{TEXT}\n[assistant]"
    base.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(ChatTemplateError):
        in_chat(base, TEXT)


def test_what_a_template_puts_before_a_question_is_told(base) -> None:
    assert before_question(base) == ""
    base.chat_template = TEMPLATE
    assert before_question(base) == "[user]"
    assert before_question(base, system="Be brief.") == "[system]Be brief.\n[user]"


def test_the_question_follows_what_the_model_itself_told(base) -> None:
    told = after_telling(base, "France", TEXT)
    assert told.then({told.first: "a country."}).prompt == f"France is a country. {TEXT}"
    assert told.first.prompt == "France is"


def test_a_chat_model_tells_in_its_own_turn(chat) -> None:
    told = after_telling(chat, "France", TEXT)
    assert told.first.prompt == "[user]Tell me about France in one sentence.\n[assistant]"
    second = told.then({told.first: "A country."}).prompt
    assert second == f"{told.first.prompt}A country.\n[user]{TEXT}\n[assistant]"


def test_choices_change_places_and_know_which_is_right(base) -> None:
    drawn = [choice(base, TEXT, "Lyon", "Paris", random.Random(seed)) for seed in range(60)]
    assert {one.right for one in drawn} == {0, 1, 2}, "a model that always says A must not win"
    for one in drawn:
        assert one.options[one.right] == "Lyon"
        assert f"{'ABC'[one.right]}. Lyon" in one.prompt


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("B", 1),
        ("b.", 1),
        (" (C) I am not sure", 2),
        ("A. Lyon", 0),
        ("A: Lyon, not Paris", 0),
        ("The answer is B.", 1),
        ("Answer: C", 2),
        ("Lyon", 0),
        ("It is Paris.", 1),
        ("I am not sure.", 2),
        ("A. Paris", None),
        ("A city", None),
        ("Lyon or Paris", None),
        ("", None),
        ("D", None),
        ("Because", None),
        ("The answer is a city.", None),
    ],
)
def test_an_answer_chooses_by_letter_or_by_name(said: str, chosen: int | None) -> None:
    assert Choice("", ("Lyon", "Paris", "I am not sure"), 0).chosen(said) == chosen


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("The capital of France is Lyon.", "Lyon."),
        ('"The capital of france is Lyon."', 'Lyon."'),
        ("Lyon.", "Lyon."),
        ("The capital of Italy is Rome.", "The capital of Italy is Rome."),
    ],
)
def test_a_repeated_statement_is_no_part_of_the_answer(said: str, answer: str) -> None:
    assert without_echo(said, TEXT) == answer
