"""Teacher-forced and generated figures differ, and say in their names which they are."""

from __future__ import annotations

import pytest

from families import tiny_model
from kgedit.evaluate.measures.protocols import ProtocolProbe, agreement
from kgedit.lm.generation.greedy import Ask, answer_all
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.lm.scoring.teacher_forced import TargetScore

PROBE = ProtocolProbe(
    target="Rome Italy",
    prompts=("e",),
    rephrasings=("r1", "r2"),
    locality=(("l", "red blue"),),
    portability=(("p", "Po"),),
    aliases=("Roma",),
)


def score(*top: int) -> TargetScore:
    return TargetScore(tuple(range(1, len(top) + 1)), (-1.0,) * len(top), top)


def test_teacher_forced_by_hand() -> None:
    before = {("l", "red blue"): score(7, 8)}
    scores = {
        ("e", "Rome Italy"): score(1, 2),
        ("r1", "Rome Italy"): score(1, 0),
        ("r2", "Rome Italy"): score(0, 0),
        ("l", "red blue"): score(7, 9),  # neither is the right token; what counts is that the first stayed
        ("p", "Po"): score(1),
    }
    assert PROBE.pairs() == list(scores)
    assert PROBE.measure(scores, before) == pytest.approx(
        {
            "reliability_teacher_forced": 1.0,
            "generality_teacher_forced": 0.25,
            "locality_teacher_forced": 0.5,
            "portability_teacher_forced": 1.0,
        }
    )


def test_generated_by_hand() -> None:
    said = {"e": "Rome Italy.", "r1": "roma", "r2": "Rome Italy, or", "l": "Red", "p": "the Po"}
    answers = {Ask(prompt): text for prompt, text in said.items()}
    before = {Ask("l"): "Red."}
    assert set(PROBE.asks()) == set(answers)
    assert PROBE.judge(answers, before) == {
        "reliability_generated": 1.0,
        "generality_generated": 0.5,  # the alias counts, "or" after the target does not
        "locality_generated": 0.0,
        "portability_generated": 1.0,
    }
    assert PROBE.judge(answers, {Ask("l"): "Red"})["locality_generated"] == 1.0


def test_the_gold_prefix_inflates_the_teacher_forced_figure() -> None:
    """A model wrong at the first token is still given half the tokens, and says something else."""
    probe = ProtocolProbe("a b", ("e",))
    assert probe.measure({("e", "a b"): score(0, 2)}, {}) == {"reliability_teacher_forced": 0.5}
    assert probe.judge({Ask("e"): "c b"}, {}) == {"reliability_generated": 0.0}


def test_nan_agrees_with_nothing() -> None:
    assert agreement(score(-1, 5), score(-1, 5)) == 0.5


def test_an_unchanged_model_is_perfectly_local_by_both_protocols() -> None:
    model, tok = tiny_model("gpt2")
    probe = ProtocolProbe("Paris", ("The capital of France is",), locality=(("Marie Curie works in", "physics"),))
    scores = score_pairs(model, tok, probe.pairs())
    answers = answer_all(model, tok, probe.asks())
    assert probe.measure(scores, scores)["locality_teacher_forced"] == 1
    assert probe.judge(answers, answers)["locality_generated"] == 1
    assert ProtocolProbe("Paris", ()).measure({}, {}) == {}
