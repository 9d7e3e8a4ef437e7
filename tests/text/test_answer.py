"""What is shown of a generated text."""

from __future__ import annotations

import pytest

from kgedit.text.answer import leading_name, shown


@pytest.mark.parametrize(
    ("text", "names", "part"),
    [
        ("St. Louis. He was", ("St. Louis",), "St. Louis"),
        ("2. Bundesliga. It", ("2. Bundesliga",), "2. Bundesliga"),
        ("Washington, D.C. The city", ("Washington, D.C.",), "Washington, D.C."),
        ("Washington, D.C.", ("Washington, D.C.",), "Washington, D.C."),
        ("Paris. It", ("Rome",), "Paris"),
        ("Paris.", ("Paris",), "Paris"),
        ("Paris, but he. He", ("Paris",), "Paris, but he"),
        ("Nigeria. It", ("Niger",), "Nigeria"),
        ("J. K. Rowling. She", (), "J. K. Rowling"),
        ("St. Louis. He", (), "St. Louis"),
        ("Paris\nx", ("Paris",), "Paris"),
        ("France", ("France",), "France"),
        ("Mr. Bean", ("Mr. Bean",), "Mr. Bean"),
        ("1. FC Köln. A", ("1. FC Köln",), "1. FC Köln"),
        ("", ("x",), ""),
        ("Yahoo! It", ("Yahoo!",), "Yahoo!"),
        ("Who? He", ("Who",), "Who?"),
        ("Washington, D.C.. It", ("Washington, D.C.",), "Washington, D.C."),
        ("Washington, D.C..", (), "Washington, D.C."),
    ],
)
def test_an_answer_is_shown_whole(text: str, names: tuple[str, ...], part: str) -> None:
    assert shown(text, names) == part


KNOWN = {"France", "Washington", "Washington, D.C.", "United States", "pop music", "Ste. Genevieve", "in"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("France, but he was born", "France"),
        ("France and lives in Paris", "France"),
        ("Washington, D.C. and then", "Washington, D.C."),
        ("the United States since 1940", "United States"),
        ("pop music", "pop music"),
        ("Ste. Genevieve, which", "Ste. Genevieve"),
        ("in 1905, he", "in 1905"),  # "in" is an everyday word
        ("Zorblax, which", "Zorblax"),
        ("2. Bundesliga. It", "2. Bundesliga"),
        ("J. K. Rowling, who", "J. K. Rowling"),
        ("北京。他", "北京"),
        ("", ""),
    ],
)
def test_the_name_that_an_answer_begins_with(text: str, name: str) -> None:
    assert leading_name(text, KNOWN.__contains__) == name
