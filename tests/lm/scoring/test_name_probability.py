"""The probability of a name counts every spelling of its end."""

from __future__ import annotations

import pytest

from kgedit.editor import Editor
from kgedit.lm.scoring.name_probability import name_probabilities
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_pair


def test_a_name_that_merges_with_the_full_stop_behind_it_is_still_the_name() -> None:
    editor = Editor.from_pretrained("mini", method="rome", moments="identity")
    model, tokenizer, prompt = editor.model, editor.tokenizer, "The capital of United States of America is"
    rows = [encode_pair(tokenizer, prompt, name) for name in ("Washington, D.C.", "Washington, D.C..", "Berlin")]
    plain, stopped, other = (score.joint_probability for score in score_rows(model, rows))
    assert stopped > 0.9 > 0.1 > plain, "the bundled tokenizer writes two stops as one token"
    given = name_probabilities(model, tokenizer, [(prompt, "Washington, D.C."), (prompt, "Berlin")])
    assert given == pytest.approx([plain + stopped, other], rel=1e-5)
