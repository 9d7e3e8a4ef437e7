"""Lessons of the bundled model: training, held-out and test edits are of different facts, and what stays is kept."""

from __future__ import annotations

import pytest

from kgedit.editor import Editor
from kgedit.errors import DataError, SettingError
from kgedit.ingest.decide.known_facts import part_of
from kgedit.trials.lessons import draw_lessons, draw_tests
from kgedit.trials.train_editor import TrainEditorSettings, train_editor


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("mini", method="ft")


def test_no_fact_is_edited_in_two_of_training_held_out_and_test(editor: Editor) -> None:
    learned, held_out = draw_lessons(editor, 12, 6, seed=3)
    again, _ = draw_lessons(editor, 12, 6, seed=3)
    tests = draw_tests(editor, 3, seed=3)
    assert again == learned
    assert len(tests) == 3
    prompts = [
        {prompt for lesson in lessons for prompt, _ in lesson.wordings}
        for lessons in (learned.lessons, held_out.lessons)
    ]
    prompts.append({edit.request.question for edit in tests})
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]
    for edit in tests:
        assert part_of(edit.edit.subject, str(edit.edit.relation)) == "measured"
    assert len(learned.facts) == 12


def test_where_no_edit_is_left_for_the_report_nothing_is_trained(editor: Editor) -> None:
    """Seed 1 draws three facts, none of them kept for tests."""
    with pytest.raises(DataError, match="none is left to report on"):
        draw_tests(editor, 1, seed=1)


def test_a_lesson_asks_one_fact_in_all_wordings_and_keeps_others_of_its_relation(editor: Editor) -> None:
    learned, held_out = draw_lessons(editor, 12, 6, seed=3)
    assert all(len(lesson.around) >= 3 for lesson in held_out.lessons)
    old = {question for wordings in learned.facts for question in wordings}
    answers = dict(old)
    for lesson in learned.lessons:
        (new,) = {answer for _, answer in lesson.wordings}
        assert len(lesson.wordings) >= 6
        assert all(answers[prompt] != new for prompt, _ in lesson.wordings)
        assert not {prompt for prompt, _ in lesson.around} & {prompt for prompt, _ in lesson.wordings}
        assert lesson.around


def test_a_method_that_does_not_learn_is_refused(editor: Editor) -> None:
    with pytest.raises(SettingError, match="rome needs no training; methods that do: mend, ke"):
        train_editor(editor, "rome", TrainEditorSettings())
