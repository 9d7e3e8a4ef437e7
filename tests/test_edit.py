"""An edit keeps its prompt as it was written, and trims only names."""

from __future__ import annotations

import pytest

from kgedit.edit import Edit, LoadedEdits


def test_the_line_breaks_of_a_chat_template_stay() -> None:
    prompt = "<|user|>\nWhere is {}?\n<|assistant|>\n"
    edit = Edit(subject=" Paris ", prompt=prompt, target_new=" Rome\n")
    assert edit.prompt == prompt
    assert (edit.subject, edit.target_new) == ("Paris", "Rome")
    assert Edit(subject="Paris", prompt="{} is in  ", target_new="Rome").prompt == "{} is in"
    assert Edit.model_validate_json(edit.model_dump_json()).prompt == prompt


@pytest.mark.parametrize(
    "manifest",
    [
        {"composed": 5}, {"composed": None}, {"composed": [7, {}, {"manifest": 3}]}, {"change": "x"}, {"edit": 5},
        {"change": {"edit": [1]}}, {"edit": {"subject": 5}}, {"change": None, "method": {"a": 1}},
    ],
)  # fmt: skip
def test_a_manifest_of_another_make_tells_nothing_and_stops_nothing(manifest: dict[str, object]) -> None:
    assert LoadedEdits.from_manifest("id", manifest).edits == ()
