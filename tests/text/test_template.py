"""Templates, their slot, and braces that mean themselves."""

from __future__ import annotations

import pytest

from kgedit.errors import PromptError
from kgedit.text.template import fill


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{} is in", "France is in"),
        ('{"country": "{}", "capital": "', '{"country": "France", "capital": "'),
        ('{"tags": {{}}, "country": "{}", "capital": "', '{"tags": {}, "country": "France", "capital": "'),
        ("{{}} is in", "{France} is in"),  # the only slot, whatever stands around it
        ("f({{}}) {{}} {}", "f({}) {} France"),
        ("{a} of {} is", "{a} of France is"),
    ],
)
def test_only_the_slot_is_filled(template: str, text: str) -> None:
    assert fill(template, "France") == text


def test_braces_of_the_subject_stay() -> None:
    assert fill("{} is", "a {} b") == "a {} b is"


@pytest.mark.parametrize("template", ["France is", "{} and {}", '{"tags": {}, "country": "{}"', "{{}} {{}}"])
def test_no_slot_and_several_slots_are_refused(template: str) -> None:
    with pytest.raises(PromptError, match="slot"):
        fill(template, "France")
