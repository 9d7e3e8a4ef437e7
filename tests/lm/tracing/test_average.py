"""Average effects by place, with values worked out by hand."""

from __future__ import annotations

import pytest

from kgedit.lm.tracing.average import PLACES, mean_effects, place_of
from kgedit.lm.tracing.trace import Trace


def traced(subject: tuple[int, int], effects: tuple[tuple[float, ...], ...]) -> Trace:
    return Trace(
        prompt="p", tokens=tuple("abcdefgh"[: len(effects)]), subject=subject, answer="x", clean=1.0, corrupted=0.0,
        effects={"state": effects}, severed={},
    )  # fmt: skip


def test_every_token_has_its_place() -> None:
    one = traced((1, 3), ((0.0,),) * 7)
    assert [place_of(token, one) for token in range(7)] == [None, *PLACES]
    single = traced((0, 0), ((0.0,),) * 2)
    assert [place_of(token, single) for token in range(2)] == ["last subject token", "last token"]


def test_tokens_of_a_place_are_averaged_first_then_prompts() -> None:
    long = traced((0, 3), ((8.0, 0.0), (1.0, 2.0), (3.0, 4.0), (5.0, 1.0), (7.0, 7.0)))
    short = traced((0, 0), ((9.0, 3.0), (1.0, 1.0)))
    means = mean_effects([long, short], "state")
    assert means["first subject token"] == (8.0, 0.0)
    assert means["middle subject tokens"] == (2.0, 3.0)
    assert means["last subject token"] == pytest.approx((7.0, 2.0))
    assert means["last token"] == (4.0, 4.0)
    assert "further tokens" not in means
