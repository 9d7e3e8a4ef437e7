"""The TF-IDF cosine by hand."""

from __future__ import annotations

import math
import sys

import pytest

from kgedit.errors import MissingExtra
from kgedit.evaluate.measures.consistency import Consistency

SNIPPETS = ["paris france", "rome italy", "paris rome"]


def test_by_hand() -> None:
    # Three documents; paris and rome are in two, france and italy in one: idf = ln((1 + 3) / (1 + df)) + 1.
    common, rare = math.log(4 / 3) + 1, math.log(4 / 2) + 1
    space = Consistency(SNIPPETS)
    # "paris paris france" against "paris": counts (2 common, 1 rare) and (1 common).
    expected = 2 * common / math.hypot(2 * common, rare)
    assert space.score(["Paris", "paris, France!"], ["paris"]) == pytest.approx(expected)
    assert space.score(["paris france"], ["paris", "france"]) == pytest.approx(1)
    assert space.score(["paris"], ["italy"]) == 0


def test_texts_without_a_known_word_are_not_consistent_with_anything() -> None:
    space = Consistency(SNIPPETS)
    assert space.score(["tokyo"], ["paris"]) == 0
    assert space.score([], []) == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingExtra, match=r"kgedit\[eval\]"):
        Consistency(SNIPPETS)
