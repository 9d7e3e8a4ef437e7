"""What all records share: prompts stay as they are written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kgedit.evaluate.benchmarks.records import Probe, Rewrite


def test_the_line_break_of_a_chat_template_stays_from_the_record_to_the_edit() -> None:
    prompt = "<|user|>\nWhere is {}?\n<|assistant|>\n"
    rewrite = Rewrite(subject="Paris", prompt=prompt, target_new="Japan")
    assert rewrite.edit.prompt == prompt
    assert rewrite.text == "<|user|>\nWhere is Paris?\n<|assistant|>\n"
    assert Probe(prompt=prompt, answers=()).prompt == prompt
    assert Rewrite(subject="Paris", prompt=" {} is in  ", target_new="Japan").prompt == "{} is in"


def test_a_record_may_write_braces_that_mean_themselves() -> None:
    rewrite = Rewrite(subject="Paris", prompt='{"a": {{}}, "city": "{}", "country": "', target_new="Japan")
    assert rewrite.text == '{"a": {}, "city": "Paris", "country": "'
    with pytest.raises(ValidationError, match="slots"):
        Rewrite(subject="Paris", prompt='{"a": {}, "city": "{}"', target_new="Japan")
