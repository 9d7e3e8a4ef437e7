"""When a text holds a name: whole words, and signs that mean something."""

from __future__ import annotations

import pytest

from kgedit.text.names import begins, contains, exact


@pytest.mark.parametrize(
    ("text", "names", "right"),
    [
        ("It was written by one of us in 1990.", ("United States of America", "US"), False),
        ("It was written by one of us in 1990.", ("us",), False),
        ("He was born in 1990.", ("India", "IN"), False),
        ("the U.S.", ("US", "U.S."), True),
        ("the U.S.", ("US",), True),
        ("3.14", ("314",), False),
        ("3.14", ("3.14",), True),
        ("Nigeria", ("Niger",), False),
        ("2. Bundesliga.", ("2. Bundesliga",), True),
        ("C++", ("C",), False),
        ("C", ("C++",), False),
        ("C++ is", ("C++",), True),
        ("c++.", ("C++",), True),
        ("-5", ("5",), False),
        ("5", ("-5",), False),
        ("−5", ("-5",), True),
        ("C#", ("C",), False),
        ("5%", ("5",), False),
        ("5 %", ("5%",), True),
        ("Sagittarius A*", ("Sagittarius A",), False),
        ("**Paris**", ("Paris",), True),
        ("Vitamin C", ("Vitamin A",), False),
        ("Vitamin A.", ("vitamin A",), True),
        ("The Who", ("The Who",), True),
        ("Who knows", ("The Who",), False),
        ("1,000", ("1000",), True),
        ("1,5", ("15",), False),
        ("10⁵", ("105",), False),
        ("$5", ("5",), False),
        ("AT&T", ("AT&T",), True),
        ("Simon & Garfunkel", ("Simon and Garfunkel",), True),
        ("St. Louis. He", ("St. Louis",), True),
        ("J. K. Rowling. She", ("J. K. Rowling",), True),
        ("Mr. Bean. He", ("Mr. Bean",), True),
        ("2. Bundesliga. It", ("2. Bundesliga",), True),
        ("1. FC Köln, a club", ("1. FC Köln",), True),
        ("Unesco", ("UNESCO",), True),
        ("he aids them", ("AIDS",), False),
        ("pop.", ("pop",), True),
        ("Pop.", ("pop",), True),
        ("by the US army", ("US",), True),
        ("10:30", ("1030",), False),
        ("1/2", ("12",), False),
        ("911", ("9/11",), False),
        ("9/11", ("9/11",), True),
        ("Blood group A-", ("A",), False),
        ("who", ("WHO",), False),
        ("UTC+1", ("UTC-1",), False),
        ("Serie A", ("Serie B",), False),
        ("NET", (".NET",), False),
        ("Guinea-Bissau", ("Guinea-Bissau",), True),
        ("Guinea Bissau", ("Guinea-Bissau",), True),
        ("It is Guinea-Bissau.", ("Guinea",), False),
        ("in Austria-Hungary", ("Hungary",), False),
        ("the Île-de-France", ("France",), False),
        ("a Paris-based company", ("Paris",), True),
        ("a non-US company", ("US",), True),
        ("J.K. Rowling wrote it.", ("J. K. Rowling",), True),
        ("J. R. R. Tolkien", ("J.R.R. Tolkien",), True),
        ("in Washington, D. C.", ("Washington, D.C.",), True),
        ("北京。", ("北京",), True),
        ("The Netherlands", ("Netherlands",), True),
        ("the Republic of the Congo", ("Republic of Congo",), True),
        ("He is a citizen of the United States.", ("United States",), True),
        ("!!!", ("!!!",), True),
        ("A$AP Rocky", ("A$AP Rocky",), True),
        ("P!nk", ("P!nk",), True),
        ('Beijing", "pop', ("Beijing",), True),
        ("a IN", ("IN",), True),
        ("D.C.", ("DC",), True),
        ("F", ("F#",), False),
        ("Man Ray", ("Man",), True),
        ("a man", ("Man",), False),
        ("1.", ("1.5",), False),
        ("1.5", ("1",), False),
        ("10 km²", ("10 km2",), True),
        ("London. It is", ("London",), True),
        ("Paris!", ("Paris",), True),
        ("in the edo.", ("Tokyo", "Edo"), True),
        ("He may go", ("May",), False),
        ("in May", ("May",), True),
        ("a nice day", ("Nice",), False),
        ("Nice, France", ("Nice",), True),
    ],
)
def test_a_text_holds_a_name(text: str, names: tuple[str, ...], right: bool) -> None:
    assert contains(text, names) is right


@pytest.mark.parametrize(
    ("text", "name", "begun", "whole"),
    [
        ("Nigeria", "Niger", False, False),
        ("Niger.", "Niger", True, True),
        ("Niger, a state", "Niger", True, False),
        ("Guinea-Bissau", "Guinea", False, False),
        ("Guinea Bissau", "Guinea-Bissau", True, True),
        ("New York City", "New York", True, False),
        ("St. Louis. He was", "St. Louis", True, True),
        ("St. Louis", "St. Louis", True, True),
        ("2. Bundesliga. It is", "2. Bundesliga", True, True),
        ("2. Bundesliga in Germany", "2. Bundesliga", True, False),
        ("J. K. Rowling. She", "J. K. Rowling", True, True),
        ("Mr. Bean. He", "Mr. Bean", True, True),
        ("Washington, D.C. The city", "Washington, D.C.", True, True),
        ("C++", "C", False, False),
        ("us", "US", False, False),
        ("us", "us", True, True),
        ("Big G. It is", "Big G", True, True),
        ("CA. It is", "CA", True, True),
        ("St. Louis", "St", True, False),
        ("🇦🇷", "🇦🇷", True, True),
        ("🇦🇷 Argentina", "🇦🇷", True, False),
    ],
)
def test_a_text_begins_with_a_name_and_is_one(text: str, name: str, begun: bool, whole: bool) -> None:
    assert (begins(text, [name]), exact(text, [name])) == (begun, whole)


def test_an_alias_counts_like_the_name() -> None:
    assert begins("USA. It", ["United States of America", "USA"])
    assert not begins("Usage of", ["United States of America", "USA"])
