"""Edits that questions about other items pass through, of the bundled model."""

from __future__ import annotations

import pytest

from kgedit.editor import Editor
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.methods.glame.method import Glame
from kgedit.trials.draw import TrialEdit
from kgedit.trials.measure import THROUGH, means, measure_edits, measure_unedited
from kgedit.trials.passed import draw_passed


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("mini", method="glame", moments="identity")


@pytest.fixture(scope="module")
def drawn(editor: Editor) -> list[TrialEdit]:
    return draw_passed(editor, 3, seed=3)


def test_each_edit_has_questions_about_others_which_the_model_answers_by_the_old_fact(
    editor: Editor, drawn: list[TrialEdit]
) -> None:
    assert len({edit.edit.subject for edit in drawn}) == 3
    before = []
    for edit in drawn:
        assert edit.through
        assert {target for _, target in edit.through} == {edit.request.target}
        before += [(prompt, edit.probe.target_true) for prompt, _ in edit.through]
        assert not any(edit.request.subject in prompt for prompt, _ in edit.through)
    right = ask_all(editor.model, editor.tokenizer, before)
    assert sum(right) > 0.7 * len(right)


def test_the_same_seed_draws_the_same(editor: Editor, drawn: list[TrialEdit]) -> None:
    assert draw_passed(editor, 3, seed=3) == drawn
    assert draw_passed(editor, 3, seed=4) != drawn


@pytest.mark.long
def test_later_layers_answer_them(editor: Editor, drawn: list[TrialEdit]) -> None:
    figures = {}
    for layers in ((), (3, 4)):
        editor.method = Glame(editor.method.config.model_copy(update={"later_layers": layers, "steps": 8}))
        figures[layers] = means(measure_edits(editor, drawn[:2]))[THROUGH]
    assert means(measure_unedited(editor, drawn))[THROUGH] == 0
    assert figures[3, 4] > figures[()] + 0.3
