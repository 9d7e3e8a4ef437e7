"""zsRE's accuracies by hand."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.zsre.measures import ZsreProbe, locality_prompt
from kgedit.lm.scoring.teacher_forced import TargetScore


def score(*hits: bool) -> TargetScore:
    ids = tuple(range(1, len(hits) + 1))
    return TargetScore(ids, (-1.0,) * len(ids), tuple(i if hit else 0 for i, hit in zip(ids, hits, strict=True)))


def test_accuracies_are_shares_of_tokens() -> None:
    probe = ZsreProbe("X", rewrite=("q",), paraphrase=("p1", "p2"), locality=(("nq question: who?", "Billy Idol"),))
    scores = {
        ("q", "X"): score(True, False, True, True),
        ("p1", "X"): score(True, True, False, False),
        ("p2", "X"): score(False, False, False, False),
        ("nq question: who?", "Billy Idol"): score(True, False, False),
    }
    assert probe.pairs() == list(scores)
    assert probe.measure(scores) == pytest.approx(
        {"zsre_efficacy": 0.75, "zsre_generality": 0.25, "zsre_specificity": 1 / 3}
    )
    assert ZsreProbe("X").measure({}) == {}


def test_locality_questions_get_one_question_mark() -> None:
    assert locality_prompt("nq question: who sang it ") == "nq question: who sang it?"
    assert locality_prompt("nq question: who?") == "nq question: who?"
