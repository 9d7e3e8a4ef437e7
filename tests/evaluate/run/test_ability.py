"""General ability: a model that knows, one that knows nothing, and one that gives no number; own questions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from kgedit.errors import DataError
from kgedit.evaluate.run.ability import ChoiceQuestion, ability, ability_questions, read_questions
from kgedit.lm.load import load_model


@pytest.fixture(scope="module")
def mini() -> tuple[Any, Any]:
    return load_model("mini")


def test_the_bundled_model_is_asked_what_it_knows_and_nothing_that_is_edited(mini: tuple[Any, Any]) -> None:
    named = {"France", "Paris"}
    questions = ability_questions("mini", named, seed=0, path=None)
    assert len(questions) == 200
    assert not any(name in " ".join((one.prompt, *one.choices)) for one in questions for name in named)
    assert all(len({*one.choices}) == 4 for one in questions)
    assert ability(*mini, questions) == pytest.approx(1.0, abs=0.05)
    # The right choice stands first in the list and nowhere else: one moved on is wrong.
    moved = [ChoiceQuestion(one.prompt, (*one.choices[1:], one.choices[0])) for one in questions[:40]]
    assert ability(*mini, moved) == pytest.approx(0.0, abs=0.05)


def test_a_model_without_knowledge_guesses_and_one_without_numbers_is_never_right(mini: tuple[Any, Any]) -> None:
    questions = ability_questions("mini", (), seed=0, path=None)
    other = copy.deepcopy(mini[0])
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.02)
        assert 0.1 < (ability(other, mini[1], questions) or 0.0) < 0.45
        next(other.parameters()).fill_(torch.nan)
    assert ability(other, mini[1], questions[:10]) == 0.0
    assert ability(other, mini[1], [ChoiceQuestion("word " * 200, ("a", "b"))]) is None


def test_other_models_get_plain_questions_each_with_one_right_end() -> None:
    questions = ability_questions("smollm2", {"Tokyo"}, seed=0, path=None)
    assert len(questions) == 59
    assert ChoiceQuestion("Two plus two is", ("four", "seven", "nine", "one")) in questions
    assert all(len({*one.choices}) == 4 for one in questions)


def test_own_questions_are_read_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("\ufeffSeven is\todd\teven\n\nA triangle has\tthree sides\tfour sides\tno sides\n", "utf-8")
    assert read_questions(path) == [
        ChoiceQuestion("Seven is", ("odd", "even")),
        ChoiceQuestion("A triangle has", ("three sides", "four sides", "no sides")),
    ]
    for text, words in (("Seven is odd\n", "line 1"), ("Seven is\todd\t \n", "line 1"), ("\n", "has no question")):
        path.write_text(text, "utf-8")
        with pytest.raises(DataError, match=words):
            read_questions(path)
    with pytest.raises(DataError, match="--ability"):
        read_questions(tmp_path / "none.tsv")
