"""Demonstrations are used letter for letter; answers after thoughts are read off the last line that gives one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgedit.errors import DataError
from kgedit.evaluate.benchmarks.mquake.prompts import (
    CHAIN_OF_THOUGHT,
    FEW_SHOT,
    RELATIONS,
    MquakePrompts,
    final_answer,
)
from kgedit.evaluate.measures.cloze import ANSWER_SUFFIX
from kgedit.lm.generation.greedy import Ask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FEW_SHOT).write_text("Q: One? A: 1\nQ: Two? 2\n")
    (tmp_path / CHAIN_OF_THOUGHT).write_text("Question: One?\nThoughts: It is one.\nAnswer: 1\n")
    (tmp_path / RELATIONS).write_text(json.dumps({"P36": "Q: Capital of A? A: B\n"}))
    return tmp_path


def test_questions_follow_the_demonstrations(folder: Path) -> None:
    prompts = MquakePrompts.load(str(folder))
    assert prompts.styles == ("zero_shot", "few_shot", "chain_of_thought")
    assert prompts.multi_hop("Who?", "zero_shot") == Ask(f"Who?{ANSWER_SUFFIX}", 20, "line")
    assert prompts.multi_hop("Who?", "few_shot") == Ask("Q: One? A: 1\nQ: Two? 2\nQ: Who? A:", 20, "line")
    thought = "Question: One?\nThoughts: It is one.\nAnswer: 1\n\nQuestion: Who?\nThoughts:"
    assert prompts.multi_hop("Who?", "chain_of_thought") == Ask(thought, 128, "block")
    assert prompts.single_hop("Capital of C?", "The capital of C is", "P36") == Ask(
        "Q: Capital of A? A: B\nQ: Capital of C? A:", 20, "line"
    )


def test_the_mark_of_utf8_is_no_part_of_a_demonstration(folder: Path) -> None:
    plain = MquakePrompts.load(str(folder))
    for name in (FEW_SHOT, CHAIN_OF_THOUGHT, RELATIONS):
        (folder / name).write_bytes((folder / name).read_text().encode("utf-8-sig"))
    assert MquakePrompts.load(str(folder)) == plain


@pytest.mark.parametrize(("question", "relation"), [("Where?", "P19"), ("Where?", None), ("", "P36")])
def test_a_hop_without_demonstrations_or_question_is_asked_by_its_cloze(
    folder: Path, question: str, relation: str | None
) -> None:
    assert MquakePrompts.load(folder).single_hop(question, "X was born in", relation) == Ask("X was born in")


def test_without_a_cloze_either_the_question_gets_the_suffix() -> None:
    assert MquakePrompts().single_hop("Where?", "", None) == Ask(f"Where?{ANSWER_SUFFIX}")


def test_each_file_may_be_missing_but_not_all(folder: Path) -> None:
    (folder / CHAIN_OF_THOUGHT).unlink()
    assert MquakePrompts.load(folder).styles == ("zero_shot", "few_shot")
    (folder / FEW_SHOT).unlink()
    (folder / RELATIONS).unlink()
    with pytest.raises(DataError, match="multihop-prompts.txt"):
        MquakePrompts.load(folder)


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"P36": 1}', b"\xff\xfe{"])
def test_a_damaged_file_is_named(folder: Path, damaged: bytes) -> None:
    (folder / RELATIONS).write_bytes(damaged)
    with pytest.raises(DataError, match="rel-prompts.json"):
        MquakePrompts.load(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is Japan. Its capital is Tokyo.\nAnswer: Tokyo\nQuestion", "Tokyo"),
        ("Answer: Kyoto\nNo.\nAnswer: Tokyo", "Tokyo"),
        ("It is Tokyo.", ""),  # no answer given
        ("Answer:", ""),
        ("", ""),
    ],
)
def test_the_answer_stands_behind_the_last_mark(text: str, expected: str) -> None:
    assert final_answer(text, "chain_of_thought") == expected
    assert final_answer(text, "few_shot") == text


def test_the_published_folder_is_read_as_it_is(real: Path) -> None:
    prompts = MquakePrompts.load(real / "mquake" / "prompts")
    lines = prompts.few_shot.splitlines()
    assert len(lines) == 16
    assert [line for line in lines if " A: " not in line] == ["Q: Who was Dodge Ram SRT-10 created by? Dodge"]
    assert prompts.chain_of_thought.count("Question:") == prompts.chain_of_thought.count("Answer:") == 5
    assert all(text.count("Q: ") == 8 for text in prompts.relations.values())
    assert len(prompts.relations) > 30
