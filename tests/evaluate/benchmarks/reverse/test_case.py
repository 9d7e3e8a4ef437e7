"""The reverse benchmark: what counts as known from the object's side, before and after."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.case import Options, Unusable
from kgedit.evaluate.benchmarks.records import Probe, Rewrite
from kgedit.evaluate.benchmarks.reverse.case import case
from kgedit.evaluate.benchmarks.reverse.record import ReverseQuestion, ReverseRecord

ASKED = ReverseQuestion(prompt="Lyon is the capital of", answer="Italy", before="Gaul")


def record(**changes: object) -> ReverseRecord:
    rewrite = Rewrite(subject="Italy", prompt="The capital of {} is", target_new="Lyon", target_true="Rome")
    fields = {
        "case_id": 5,
        "rewrites": (rewrite,),
        "reverse": ASKED,
        "object_facts": (Probe(prompt="Lyon lies in", answers=(("France",),)),),
    }
    return ReverseRecord(**{**fields, **changes})


def test_the_subject_must_be_said_of_the_new_object_whose_other_facts_stay(answering) -> None:
    made = case(record(), Options())
    right = {("Lyon is the capital of", "Italy"): 0.6, ("Lyon lies in", "France"): 0.3}
    values = made.values(answering(made.questions, probable=right), answering(made.questions))
    assert (values["reverse"], values["reverse_accuracy"], values["object_facts_accuracy"]) == (1, 1, 0)
    assert values["reverse_magnitude"] == pytest.approx(0.59)
    assert values["efficacy"] == 0
    before = answering(made.all_questions, probable={("Lyon is the capital of", "Gaul"): 0.9})
    assert made.values_before(before)["reverse_before"] == 1
    assert made.values_before(before)["reverse"] == 0
    assert "reverse_before" not in made.values(before, before)


def test_a_judgement_is_a_choice_between_yes_and_no(answering) -> None:
    judged = ReverseQuestion(prompt="Whether Lyon is the capital of Italy?", answer="yes", before="no")
    made = case(record(reverse=None, judgement=judged, object_facts=()), Options())
    values = made.values(answering(made.questions, probable={(judged.prompt, "yes"): 0.2}), answering(made.questions))
    assert (values["judgement"], values["judgement_accuracy"]) == (1, 0)
    assert "reverse" not in values


def test_without_an_answer_before_only_what_is_said_counts(answering) -> None:
    made = case(record(reverse=ReverseQuestion(prompt="Lyon is", answer="Italy")), Options())
    values = made.values(answering(made.questions, probable={("Lyon is", "Italy"): 0.7}), answering(made.questions))
    assert values["reverse_accuracy"] == 1
    assert "reverse" not in values
    assert "reverse_before" not in made.values_before(answering(made.all_questions))


def test_a_record_that_asks_nothing_is_refused() -> None:
    with pytest.raises(Unusable, match="nothing about the new object"):
        case(record(reverse=None), Options())
