"""An answer ends where it was told to, and nothing of what follows is in it."""

from __future__ import annotations

import pytest

from kgedit.lm.generation.endings import Until, cut, is_over


@pytest.mark.parametrize(
    ("until", "text", "answer"),
    [
        ("sentence", " Washington, D.C. and Rome. It\nis", "Washington, D.C. and Rome."),
        ("line", " Rome. It\nis", "Rome. It"),
        ("block", "\n\nRome. It\nis\n\nold", "Rome. It\nis"),
        ((".", "\n"), " Rome\nis. Old", "Rome"),
        (("</s>",), " Rome.</s> Paris", "Rome."),
    ],
)
def test_what_follows_the_end_is_cut(until: Until, text: str, answer: str) -> None:
    assert is_over(text, until)
    assert cut(text, until) == answer


@pytest.mark.parametrize("until", ["sentence", "line", "block", "limit", (";",), ()])
def test_a_text_without_the_end_goes_on(until: Until) -> None:
    assert not is_over(" Rome", until)
    assert cut(" Rome ", until) == "Rome"
