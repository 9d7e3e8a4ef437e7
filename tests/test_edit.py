"""An edit keeps its prompt as it was written, and trims only names."""

from __future__ import annotations

from kgedit.edit import Edit


def test_the_line_breaks_of_a_chat_template_stay() -> None:
    prompt = "<|user|>\nWhere is {}?\n<|assistant|>\n"
    edit = Edit(subject=" Paris ", prompt=prompt, target_new=" Rome\n")
    assert edit.prompt == prompt
    assert (edit.subject, edit.target_new) == ("Paris", "Rome")
    assert Edit(subject="Paris", prompt="{} is in  ", target_new="Rome").prompt == "{} is in"
    assert Edit.model_validate_json(edit.model_dump_json()).prompt == prompt
