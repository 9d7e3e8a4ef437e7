"""Strict and published portability; what the published one lets through is what the strict one refuses."""

from __future__ import annotations

import sys

import pytest

from families import tiny_model
from kgedit.errors import MissingExtra
from kgedit.evaluate.measures.cloze import ANSWER_SUFFIX
from kgedit.evaluate.measures.portability import PortabilityProbe, fuzzy_match, published_fuzzy
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.generation.sampling import sample_texts

PROBE = PortabilityProbe((("Where?", ("Tokyo", "Edo")), ("The capital of Japan is", ("Tokyo",))))


def test_strict_takes_aliases_and_looks_at_the_continuation_only() -> None:
    asks = [Ask(f"Where?{ANSWER_SUFFIX}"), Ask("The capital of Japan is")]
    assert PROBE.asks() == asks
    assert all((ask.limit, ask.until) == (20, "line") for ask in asks)
    assert PROBE.judge(dict(zip(asks, ("in the edo.", "Kyoto"), strict=True))) == {"portability": 0.5}
    assert PROBE.judge(dict(zip(asks, ("Edomae", "not here. Tokyo"), strict=True))) == {"portability": 0.0}
    assert PROBE.judge(dict.fromkeys(asks, "")) == {"portability": 0.0}  # empty generations
    assert PortabilityProbe(()).judge({}) == {}


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("Who is from Tokyo? Nobody.", "Tokyo", True),  # counts, although it is the question's own word
        ("-----abcdefg-----", "abcdefgxyz", True),  # best window of ten: 14 of 20 characters match, 70 %
        ("-----abcdef------", "abcdefxyzw", False),  # 12 of 20, 60 %
        ("-----abcdef", "abcdefxyzw", True),  # at the edge the window is cut too: 12 of 16, 75 %
        ("tokyo", "TOKYO", False),  # case counts
        ("", "Tokyo", False),
        ("Tokyo", "", False),
    ],
)
def test_the_fuzzy_match_by_hand(text: str, answer: str, expected: bool) -> None:
    assert fuzzy_match(text, answer) is expected


def test_published_runs_over_seeds_and_includes_the_prompt() -> None:
    model, tok = tiny_model("gpt2")
    probes = [
        PortabilityProbe((("Is it Kyoto?", ("Kyoto", "alias")), ("Q:", ("zzzzzzzz",)))),
        PortabilityProbe(()),
        PortabilityProbe((("Q:", ("a", "b")),)),
    ]
    found = published_fuzzy(model, tok, probes, seeds=(0, 1), max_tokens=40)
    assert found[0] == {"portability_published_fuzzy": 0.5}
    assert found[1] == {}
    # The prompt "Q:" is asked twice in each run; the last probe has the second draw.
    texts = [sample_texts(model, tok, ["Q:", "Q:"], max_tokens=40, seed=seed)[1] for seed in (0, 1)]
    assert found[2] == {"portability_published_fuzzy": sum("a" in text for text in texts) / 2}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.fuzz", None)
    with pytest.raises(MissingExtra, match=r"kgedit\[eval\]"):
        fuzzy_match("a", "b")
