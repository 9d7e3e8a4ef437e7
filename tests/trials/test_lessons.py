"""Lessons of the bundled model: training, held-out and test edits are of different facts, and what stays is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.editor import Editor
from kgedit.errors import DataError, SaveFailed, SettingError
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


def test_a_trained_editor_stays_unless_the_same_training_goes_on_with_it(tmp_path: Path) -> None:
    editor, file = Editor.from_pretrained("mini", method=None), tmp_path / "mend.safetensors"
    small = "mend:rank=2:layers=5:edits=2:held_out=2:check_every=1:training_steps="

    def train(method: str, *, minutes: float = 10, force: bool = False, **settings: int) -> dict[str, object]:
        given = TrainEditorSettings(facts=8, held_out=4, report=1, minutes=minutes, **settings)
        return train_editor(editor, method, given, out=file, force=force).training

    assert train(f"{small}2", minutes=1e-9)["ended"] == "at the time limit"
    # What would not go on with it does not replace it: another seed, other settings.
    first = file.read_bytes()
    for method, settings in ((f"{small}2", {"seed": 1}), (f"{small}2:clip=9", {})):
        with pytest.raises(SaveFailed, match=f"{file} is there already: mend, trained on 20.* at the time limit"):
            train(method, **settings)
    assert file.read_bytes() == first
    assert train(f"{small}2")["steps"] == 2
    whole = file.read_bytes()
    told = r"in 2 steps .*, which ended after all steps; on held-out edits taken .*, score .*; with the same settings"
    with pytest.raises(SaveFailed, match=told):
        train(f"{small}2")
    with pytest.raises(SaveFailed, match="with training_steps 2, not 1"):
        train(f"{small}1")
    assert file.read_bytes() == whole
    assert train(f"{small}1", force=True)["steps"] == 1
    assert file.read_bytes() != whole
