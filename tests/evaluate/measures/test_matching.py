"""When a text counts as the answer."""

from __future__ import annotations

import pytest

from kgedit.evaluate.measures.matching import MATCHERS, begins, contains, exact, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The United  Kingdom!", "united kingdom"),
        ("Washington, D.C.", "washington dc"),
        ("Baden-Baden", "baden baden"),
        ("O'Neill", "oneill"),
        ("ＡＢＣ Straße", "abc strasse"),
        ("The The", "the the"),
        ("Theatre", "theatre"),
        ("...", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("the United Kingdom, of course.", ["UK", "United Kingdom"], (True, True, False)),
        ("United Kingdom.", ["United Kingdom"], (True, True, True)),
        ("The united kingdom", ["United Kingdom"], (True, True, True)),
        ("in the United Kingdom", ["United Kingdom"], (True, False, False)),
        ("Ukraine", ["UK"], (False, False, False)),  # part of a word is no answer
        ("New York City", ["New York"], (True, True, False)),
        ("London. Paris is nice", ["Paris"], (False, False, False)),  # said after the answer was over
        ("London\nParis", ["Paris"], (False, False, False)),
        ("Washington, D.C. The capital", ["Washington, D.C."], (True, True, True)),
        ("Washington, D.C.", ["Washington, D.C."], (True, True, True)),
        ("Washington, D.C", ["Washington, D.C."], (True, True, True)),
        ("Washington, D.C. metropolitan area", ["Washington, D.C."], (True, True, False)),
        ("J. R. R. Tolkien. He wrote", ["J. R. R. Tolkien"], (True, True, True)),
        ("東京です", ["東京"], (True, True, False)),
        ("", ["Paris"], (False, False, False)),
        ("Paris", [], (False, False, False)),
        ("anything", ["", "..."], (False, False, False)),
        ("1984", ["84"], (False, False, False)),
    ],
)
def test_the_three_rules(text: str, answers: list[str], expected: tuple[bool, bool, bool]) -> None:
    assert (contains(text, answers), begins(text, answers), exact(text, answers)) == expected


def test_rules_are_found_by_name() -> None:
    assert dict(MATCHERS) == {"begins": begins, "contains": contains, "exact": exact}
