"""BM25 by hand."""

from __future__ import annotations

import math

import pytest

from kgedit.attribution.bm25 import bm25


def test_scores_are_those_of_the_formula() -> None:
    texts = ["Ulm, Ulm!", "Ulm lies in Germany", "nothing here"]
    # Mean length (2 + 4 + 2) / 3; "ulm" is in two of three texts, "germany" in one.
    ulm, germany = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    short, long = (1.5 * (0.25 + 0.75 * length / (8 / 3)) for length in (2, 4))
    expected = [ulm * 2 * 2.5 / (2 + short), (ulm + germany) * 2.5 / (1 + long), 0.0]
    assert bm25(texts, "ULM Germany") == pytest.approx(expected)


def test_a_script_without_spaces_is_compared_by_characters() -> None:
    near, far = bm25(["爱因斯坦出生于乌尔姆", "巴黎在法国"], "爱因斯坦是哪里人")
    assert near > far == 0
    assert bm25([], "Ulm") == []
    assert bm25(["", "?"], "Ulm") == [0.0, 0.0]
