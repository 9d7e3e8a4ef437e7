"""zsRE, KnowEdit, RippleEdits and known facts: which prompt counts for which measure."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import Options, Replies
from kgedit.evaluate.benchmarks.knowedit import case as knowedit
from kgedit.evaluate.benchmarks.knowedit.record import KnowEditRecord
from kgedit.evaluate.benchmarks.known_facts import case as known_facts
from kgedit.evaluate.benchmarks.known_facts.record import KnownFactRecord
from kgedit.evaluate.benchmarks.records import Portability, Probe, Rewrite
from kgedit.evaluate.benchmarks.ripple import case as ripple
from kgedit.evaluate.benchmarks.ripple.record import RippleQuery, RippleRecord, RippleTest
from kgedit.evaluate.benchmarks.zsre import case as zsre
from kgedit.evaluate.benchmarks.zsre.record import ZsreRecord
from kgedit.evaluate.measures.cloze import ANSWER_SUFFIX
from kgedit.evaluate.results import RECALLED
from kgedit.lm.generation.greedy import Ask

REWRITE = Rewrite(subject="Ann", prompt="Where does {} live?", target_new="Rome", target_true="Oslo")
OWN = "Where does Ann live?"


def test_zsre_compares_with_the_data_set_and_with_the_model_before(answering) -> None:
    record = ZsreRecord(
        case_id=0,
        rewrites=(REWRITE,),
        paraphrases=("Ann lives where?",),
        true_answers=("Oslo", "Christiania"),
        locality=(Probe(prompt="nq question: who sings", answers=(("Bob",),)),),
        portability=Portability(question="In which country is Ann?", answer="Italy"),
    )
    made = zsre.case(record, Options())
    unrelated = ("nq question: who sings?", "Bob")
    before = answering(made.all_questions, probable={unrelated: 0.9}, said={OWN: "Christiania"})
    after = answering(
        made.questions,
        probable={(OWN, "Rome"): 0.9},
        said={OWN: "Rome.", "In which country is Ann?" + ANSWER_SUFFIX: "Italy."},
    )
    values = made.values(after, before)
    assert (values["zsre_efficacy"], values["zsre_generality"], values["zsre_specificity"]) == (1, 0, 0)
    assert (values["reliability_teacher_forced"], values["reliability_generated"]) == (1, 1)
    # The answer to the unrelated question is another token than before, but the same words.
    assert (values["locality_teacher_forced"], values["locality_generated"]) == (0, 1)
    assert values["portability"] == 1
    assert made.values_before(before)[RECALLED] == 1
    assert made.values_before(before)["locality_teacher_forced"] == 1


def test_zsre_may_write_the_right_answer_as_the_loaders_of_rome_and_memit_do() -> None:
    record = ZsreRecord(
        case_id=0,
        rewrites=(REWRITE,),
        paraphrases=("Ann lives where?",),
        true_answers=("Oslo", "Christiania"),
        locality=(),
    )
    made = zsre.case(record, Options(zsre_target="answer"))
    assert [rewrite.target_new for rewrite in made.rewrites] == ["Oslo"]
    assert {target for _, target in made.questions.pairs} == {"Oslo"}
    # What the model should have said before is not told, so nothing is said of how much it knows.
    assert made.recalled(Replies()) is None
    assert zsre.case(record, Options()).rewrites[0].target_new == "Rome"


def test_knowedit_asks_for_every_group_of_an_answer(answering) -> None:
    record = KnowEditRecord(
        case_id=0,
        rewrites=(REWRITE,),
        true_answers=(("Oslo",),),
        portability=(Probe(prompt="Ann's towns are", answers=(("Rome", "Roma"), ("Pisa",))),),
        locality=(Probe(prompt="Bob lives in", answers=(("Oslo",),)),),
    )
    made = knowedit.case(record, Options())
    before = answering(made.all_questions, said={"Bob lives in": "Oslo."})
    after = answering(made.questions, said={"Ann's towns are": "Roma.", "Bob lives in": "Bergen."})
    values = made.values(after, before)
    assert values["portability"] == 0.5
    assert values["locality_generated"] == 0
    assert values["reliability_generated"] == 0
    assert "generality_generated" not in values
    assert made.values_before(before)[RECALLED] == 0


def test_ripple_executes_a_test_only_where_its_condition_held_before(answering) -> None:
    def query(prompt: str, answer: str) -> RippleQuery:
        return RippleQuery(prompt=prompt, answers=((answer,),), query_type="regular", relation="X")

    held = RippleTest(
        criterion="Forgetfulness", condition="OR", queries=(query("Ann also lives in", "Bonn"),),
        conditions=(query("Ann had lived in", "Bonn"),),
    )  # fmt: skip
    failed = held.model_copy(update={"conditions": (query("Ann will live in", "Bonn"),)})
    record = RippleRecord(case_id=0, rewrites=(REWRITE,), example_type="popular", relation="X", tests=(held, failed))
    made = ripple.case(record, Options())
    before = answering(made.all_questions, said={"Ann had lived in": "Bonn.", OWN: "Oslo."})
    after = answering(made.questions, said={OWN: "In Rome.", "Ann also lives in": "Trier. Or Bonn."})
    values = made.values(after, before)
    assert (values["edit_success"], values["preservation_executed"]) == (1, 0.5)
    # As published a name anywhere counts; strictly it must stand in the first sentence.
    assert (values["preservation"], values["preservation_strict"]) == (1, 0)
    assert made.values_before(before)[RECALLED] == 1
    assert Ask("Ann had lived in") in made.asked_before.asks


def test_a_known_fact_is_asked_and_never_edited(answering) -> None:
    made = known_facts.case(KnownFactRecord(case_id=4, subject="Ann", prompt="{} lives in", answer="Oslo"), Options())
    assert made.rewrites == ()
    replies = answering(made.all_questions, probable={("Ann lives in", "Oslo"): 0.25}, said={"Ann lives in": "Oslo."})
    values = made.values_before(replies)
    assert (values["recall"], values["recall_accuracy"], values[RECALLED]) == (1, 0, 1)
    assert abs(values["probability"] - 0.25) < 1e-12
