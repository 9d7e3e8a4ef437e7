"""The effect of an edit: asked before and after, about the fact and all around it, and nothing is left behind."""

from __future__ import annotations

import torch

from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.trials.effect import effect_of

EINSTEIN = Edit(subject="Albert Einstein", relation="P27", target_new="France")


def test_an_edit_is_asked_about_and_taken_back() -> None:
    editor = Editor.from_pretrained("mini", method="rome", moments="identity")
    before = {name: value.clone() for name, value in editor.model.state_dict().items()}
    effect = effect_of(editor, EINSTEIN)
    # The fact, by hand: the old object, then the new one.
    fact, *others = effect.asked
    assert (fact.question, fact.right[0]) == ("Albert Einstein is a citizen of", "France")
    assert fact.before is not None
    assert (fact.before.text, fact.right_before, fact.right_after) == ("United States of America", False, True)
    # What must stay is asked only where the model knew it, and what follows only in its new form.
    assert {each.kind for each in others} == {"wordings", "consequences", "neighbours", "subject"}
    assert all(each.right_before for each in others if each.kind in ("neighbours", "subject"))
    # What stays may be said by any name: the neighbours have the old object, the United States.
    assert all("United States" in each.right for each in others if each.kind == "neighbours")
    capital = next(each for each in others if "capital" in each.question)
    assert (capital.kind, capital.right) == ("consequences", ("Paris",))
    assert effect.facts[0] == ("Albert Einstein", "country of citizenship", "France")
    assert (effect.answered[0], effect.old) == (True, "United States of America")
    # Nothing is left, and the change that it names makes the edit again.
    assert editor.deltas == ()
    assert editor.history == {}
    assert all(torch.equal(value, before[name]) for name, value in editor.model.state_dict().items())
    with editor.trial(effect.delta):
        assert editor.complete(fact.question) == "France"


def test_free_text_is_asked_about_alone() -> None:
    editor = Editor.from_pretrained("mini", method="rome", moments="identity")
    effect = effect_of(editor, Edit(subject="Albert Einstein", prompt="{} plays for", target_new="Berlin"))
    assert [each.kind for each in effect.asked] == ["fact"]
    assert (effect.facts, effect.answered, effect.old) == ((), (), "")
