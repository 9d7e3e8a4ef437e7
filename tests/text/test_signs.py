"""The form of a text in which names are compared."""

from __future__ import annotations

from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgedit.text.names import contains
from kgedit.text.signs import legible

PLAIN = st.text(ascii_letters + digits + " ", min_size=1).filter(str.strip)


@given(PLAIN)
def test_words_and_numbers_stay_as_they_are_with_single_spaces(text: str) -> None:
    assert legible(text) == " ".join(text.split())
    # A sign that means nothing changes neither, though the text is then looked at letter by letter.
    assert legible(f"{text} !") == legible(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("rock ʼnʼ roll", "rock n roll"),
        ("ﬁnal Ⅳ", "final IV"),
        ("10² m", "10^2 m"),
        ("東京 2020", "東京 2020"),
        ("...", ""),
    ],
)
def test_letters_of_other_scripts_and_letters_that_are_signs(text: str, form: str) -> None:
    assert legible(text) == form


@given(st.integers(0, 3), st.integers(1, 3))
def test_a_name_that_overlaps_itself_is_found_where_words_end(before: int, behind: int) -> None:
    # "nn nn" begins at each "nn" but the last.
    text = " ".join(["b"] * before + ["nn"] * (behind + 1))
    assert contains(text, ["nn nn"])
    assert not contains(text, ["n nn", "nn n"])
