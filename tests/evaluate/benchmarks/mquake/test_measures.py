"""Edit-wise, instance-wise, multi-hop and the probability comparison, each by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kgedit.evaluate.benchmarks.mquake.measures import MquakeProbe, SingleHop
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts
from kgedit.evaluate.measures.cloze import ANSWER_SUFFIX
from kgedit.evaluate.measures.matching import exact
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.scoring.teacher_forced import TargetScore

PROMPTS = MquakePrompts("Q: x A: y", "Question: x\nThoughts: z\nAnswer: y", {"P36": "Q: x A: y"})
CITIZEN = SingleHop(Ask("Fernando is a citizen of"), ("Japan", "Nippon"))
CAPITAL = SingleHop(Ask("The capital of Japan is"), ("Tokyo",))
BEFORE = (
    SingleHop(Ask("Fernando is a citizen of"), ("Portugal",)),
    SingleHop(Ask("The capital of Portugal is"), ("Lisbon",)),
)
PROBE = MquakeProbe(
    rewrites=(CITIZEN,),
    chain=(CITIZEN, CAPITAL),
    chain_before=BEFORE,
    questions=("Q1?", "Q2?", "Q3?"),
    answers=("Tokyo", "Edo"),
    answers_before=("Lisbon",),
    hops=2,
    prompts=PROMPTS,
)


def zero_shot(*texts: str) -> Answers:
    return {Ask(f"Q{i}?{ANSWER_SUFFIX}"): text for i, text in enumerate(texts, 1)}


def judge(citizen: str, capital: str, *texts: str) -> dict[str, float]:
    answers = {CITIZEN.ask: citizen, CAPITAL.ask: capital, **zero_shot(*texts)}
    assert set(PROBE.asks()) == set(answers)
    return PROBE.judge(answers)


def test_all_right() -> None:
    assert judge("Nippon.", "Tokyo", "Tokyo.", "Edo.", "in Tokyo.") == {
        "edit_wise": 1.0,
        "instance_wise": 1.0,
        "multihop": 1.0,
        "multihop_2": 1.0,
        "multihop_mean": 1.0,
    }


def test_one_phrasing_is_enough_for_the_published_measure() -> None:
    found = judge("Japan", "Tokyo", "Lisbon.", "Edo.", "")
    assert found["multihop"] == found["multihop_2"] == 1
    assert found["multihop_mean"] == pytest.approx(1 / 3)
    assert judge("Japan", "Tokyo", "Lisbon", "", "")["multihop"] == 0


def test_instance_wise_needs_every_fact_and_edit_wise_only_the_edited_ones() -> None:
    found = judge("Japan", "Kyoto", "Tokyo", "Tokyo", "Tokyo")
    assert (found["edit_wise"], found["instance_wise"], found["multihop"]) == (1, 0, 1)
    found = judge("Portugal", "Tokyo", "", "", "")
    assert (found["edit_wise"], found["instance_wise"]) == (0, 0)


def test_edit_wise_is_the_share_of_rewrites() -> None:
    second = SingleHop(Ask("Maria is a citizen of"), ("Chile",))
    probe = MquakeProbe((CITIZEN, second), questions=(), answers=("x",), hops=2)
    answers = {CITIZEN.ask: "Japan.", second.ask: "Peru."}
    assert probe.judge(answers) == {"edit_wise": 0.5}


def test_the_other_styles_are_told_apart_by_name() -> None:
    probe = replace(PROBE, styles=("few_shot", "chain_of_thought"))
    answers = {CITIZEN.ask: "Japan", CAPITAL.ask: "Tokyo"}
    for i, (shot, thought) in enumerate([("Lisbon", "So Tokyo."), ("Lisbon", "So.\nAnswer: Tokyo"), ("Edo", "")], 1):
        answers[PROMPTS.multi_hop(f"Q{i}?", "few_shot")] = shot
        answers[PROMPTS.multi_hop(f"Q{i}?", "chain_of_thought")] = thought
    assert set(probe.asks()) == set(answers)
    found = probe.judge(answers)
    assert {name: value for name, value in found.items() if name.startswith("multihop")} == pytest.approx(
        {
            "multihop_few_shot": 1,
            "multihop_few_shot_2": 1,
            "multihop_few_shot_mean": 1 / 3,
            "multihop_chain_of_thought": 1,
            "multihop_chain_of_thought_2": 1,
            "multihop_chain_of_thought_mean": 1 / 3,
        }
    )


def test_the_rule_of_matching_is_the_callers() -> None:
    answers = {CITIZEN.ask: "Japan, in Asia", CAPITAL.ask: "Tokyo", **zero_shot("Tokyo, Japan", "", "")}
    assert PROBE.judge(answers)["multihop"] == 1
    assert PROBE.judge(answers, match=exact)["multihop"] == 0


def test_the_unedited_model_knows_the_chain_if_it_recalls_every_fact() -> None:
    asks = [fact.ask for fact in BEFORE]
    assert PROBE.asks_before() == asks
    assert PROBE.judge_before(dict(zip(asks, ("Portugal", "Lisbon"), strict=True))) == {"recalled_before": 1}
    assert PROBE.judge_before(dict(zip(asks, ("Portugal", "Porto"), strict=True))) == {"recalled_before": 0}


def score(probability: float, *, on_top: bool = False) -> TargetScore:
    return TargetScore((1,), (math.log(probability),), (1,) if on_top else (0,))


def test_table_6_compares_probabilities_over_the_phrasings() -> None:
    prompts = [f"Q{i}?{ANSWER_SUFFIX}" for i in (1, 2, 3)]
    scores = {
        (prompts[0], "Tokyo"): score(0.2),
        (prompts[0], "Lisbon"): score(0.1),
        (prompts[1], "Tokyo"): score(0.3),
        (prompts[1], "Lisbon"): score(0.3),  # a tie fails
        (prompts[2], "Tokyo"): score(0.4, on_top=True),
        (prompts[2], "Lisbon"): score(0.2),
    }
    assert PROBE.pairs() == list(scores)
    assert PROBE.measure(scores) == pytest.approx(
        {
            "multihop_probability": 2 / 3,
            "multihop_probability_2": 2 / 3,
            "multihop_probability_any": 1,
            "multihop_argmax": 1 / 3,
        }
    )


def test_before_the_edit_the_old_answer_is_the_right_one() -> None:
    said = zero_shot("Lisbon.", "Tokyo.", "")
    assert PROBE.judge_questions_before(said) == {
        "multihop_before": 1.0,
        "multihop_before_2": 1.0,
        "multihop_before_mean": pytest.approx(1 / 3),
    }
    assert PROBE.judge_questions_before(zero_shot("Tokyo", "", ""))["multihop_before"] == 0.0
    assert replace(PROBE, answers_before=()).judge_questions_before({}) == {}
