"""CounterFact: which prompt counts for which measure, and what a record must have."""

from __future__ import annotations

import math

import pytest

from kgedit.evaluate.benchmarks.case import Options, Replies, Unusable
from kgedit.evaluate.benchmarks.counterfact.case import case
from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord
from kgedit.evaluate.benchmarks.counterfact.snippets import Snippets
from kgedit.evaluate.benchmarks.known_facts.record import KnownFactRecord
from kgedit.evaluate.benchmarks.records import Portability, Probe, Rewrite
from kgedit.evaluate.measures.cloze import ANSWER_SUFFIX
from kgedit.evaluate.results import RECALLED


def record(**changes: object) -> CounterFactRecord:
    rewrite = Rewrite(
        subject="Ann", prompt="{} lives in", target_new="Rome", target_true="Oslo", relation_id="P551",
        target_new_id="Q220",
    )  # fmt: skip
    fields = {
        "case_id": 5,
        "rewrites": (rewrite,),
        "paraphrases": ("Ann's home is", "Ann dwells in"),
        "neighborhood": (Probe(prompt="Bob lives in", answers=(("Oslo",),)),),
        "generation": ("Ann is",),
        "portability": Portability(question="What is the country of Ann?", answer="Italy", aliases=("Italia",)),
    }
    return CounterFactRecord(**{**fields, **changes})


def test_each_prompt_counts_for_its_own_measure(answering) -> None:
    made = case(record(), Options())
    assert (made.id, made.hops, len(made.rewrites)) == ("5", None, 1)
    replies = answering(
        made.questions,
        probable={
            ("Ann lives in", "Rome"): 0.6,
            ("Ann's home is", "Rome"): 0.3,
            ("Ann dwells in", "Oslo"): 0.2,
            ("Bob lives in", "Oslo"): 0.8,
        },
        said={"What is the country of Ann?" + ANSWER_SUFFIX: "Italia, they say."},
    )
    values = made.values(replies, replies)
    assert (values["efficacy"], values["paraphrase"], values["neighborhood"], values["portability"]) == (1, 0.5, 1, 1)
    assert values["efficacy_magnitude"] == pytest.approx(0.59)
    assert (values["efficacy_accuracy"], values["paraphrase_accuracy"]) == (1, 0)


def test_the_unedited_row_says_whether_the_old_fact_is_known(answering) -> None:
    made = case(record(), Options(match="exact"))
    for text, known in (("Oslo.", 1), ("Oslo or so.", 0)):
        before = answering(made.all_questions, said={"Ann lives in": text})
        assert made.values_before(before)[RECALLED] == known
        assert RECALLED not in made.values(before, before)


def test_texts_are_only_sampled_on_demand() -> None:
    assert case(record(), Options()).questions.texts == ()
    snippets = Snippets({("P551", "Q220"): ["She lives in Rome."], ("P1", "Q1"): ["A dog barks."]})
    made = case(record(), Options(generate=True, snippets=snippets))
    assert made.questions.texts == ("Ann is",)
    assert made.questions.fuzzy is not None
    said = Replies(
        scores=dict.fromkeys(made.questions.pairs, score()),
        answers=dict.fromkeys(made.questions.asks, ""),
        texts=("Ann lives in Rome",),
    )
    values = made.values(said, said)
    assert values["fluency"] > 0
    assert 0 < values["consistency"] < 1


def score():
    from kgedit.lm.scoring.teacher_forced import TargetScore

    return TargetScore((1,), (math.log(0.1),), (1,))


@pytest.mark.parametrize("target", ["Oslo", None])
def test_a_record_without_a_change_is_refused(target: str | None) -> None:
    rewrite = Rewrite(subject="Ann", prompt="{} lives in", target_new="Oslo", target_true=target)
    with pytest.raises(Unusable, match="the new object is the old one"):
        case(record(rewrites=(rewrite,)), Options())


def test_a_record_of_another_benchmark_is_refused() -> None:
    fact = KnownFactRecord(case_id=1, subject="Ann", prompt="{} lives in", answer="Oslo")
    with pytest.raises(Unusable, match="not one of CounterFact"):
        case(fact, Options())
