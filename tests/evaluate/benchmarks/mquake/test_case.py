"""MQuAKE: what is asked, and which answer counts where."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.case import Options
from kgedit.evaluate.benchmarks.mquake.case import case
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts
from kgedit.evaluate.benchmarks.mquake.questions import MQuakeQuestions
from kgedit.evaluate.benchmarks.mquake.record import Hop, MQuakeRecord
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.measures.cloze import ANSWER_SUFFIX
from kgedit.evaluate.results import RECALLED
from kgedit.lm.generation.greedy import Ask

QUESTIONS = ("Who heads the country of Ann?", "Ann's country is headed by")
CITIZEN = Rewrite(
    subject="Ann", prompt="{} is a citizen of", target_new="Peru", target_true="Fiji", relation_id="P27",
    question="Whose citizen is Ann?",
)  # fmt: skip


def record(**changes: object) -> MQuakeRecord:
    fields = {
        "case_id": 3,
        "rewrites": (CITIZEN,),
        "questions": QUESTIONS,
        "answer": "Old",
        "new_answer": "New",
        "new_answer_aliases": ("Newer",),
        "hops": (
            Hop(question="Whose citizen is Ann?", answer="Fiji", cloze="Ann is a citizen of"),
            Hop(question="Who heads Fiji?", answer="Old", cloze="The head of Fiji is"),
        ),
        "new_hops": (
            Hop(question="Whose citizen is Ann?", answer="Peru", aliases=("Perú",), cloze="Ann is a citizen of"),
            Hop(question="Who heads Peru?", answer="New", cloze="The head of Peru is"),
        ),
    }
    return MQuakeRecord(**{**fields, **changes})


def test_recall_and_questions_are_counted_apart(answering) -> None:
    made = case(record(), Options())
    assert (made.hops, len(made.rewrites)) == (2, 1)
    asked = QUESTIONS[0] + ANSWER_SUFFIX
    replies = answering(
        made.questions,
        probable={(asked, "New"): 0.2, (QUESTIONS[1], "Old"): 0.2},
        said={"Ann is a citizen of": "Perú.", QUESTIONS[1]: "Newer.", "The head of Peru is": "Old."},
    )
    values = made.values(replies, replies)
    assert (values["efficacy"], values["edit_wise"], values["instance_wise"]) == (1, 1, 0)
    assert (values["multihop"], values["multihop_2"], values["multihop_mean"]) == (1, 1, 0.5)
    assert (values["multihop_probability"], values["multihop_probability_2"]) == (0.5, 0.5)


def test_efficacy_wants_the_name_alone_whatever_the_rule_of_the_others(answering) -> None:
    made = case(record(), Options(match="contains"))
    replies = answering(made.questions, said={"Ann is a citizen of": "Peru since 1999."})
    values = made.values(replies, replies)
    assert (values["efficacy"], values["edit_wise"]) == (0, 1)


@pytest.mark.parametrize(("second", "known"), [("Old.", 1), ("New.", 0)])
def test_the_unedited_row_says_whether_every_hop_was_known(answering, second: str, known: float) -> None:
    made = case(record(), Options())
    before = answering(made.all_questions, said={"Ann is a citizen of": "Fiji.", "The head of Fiji is": second})
    assert made.values_before(before)[RECALLED] == known


def test_a_reduced_record_is_scored_as_far_as_it_goes(answering) -> None:
    reduced = MQuakeQuestions(case_id=8, rewrites=(CITIZEN,), questions=QUESTIONS, n_hops=3, new_answer="New")
    made = case(reduced, Options())
    assert made.questions.pairs == ()
    replies = answering(made.questions, said={"Ann is a citizen of": "Peru.", QUESTIONS[1]: "New."})
    assert made.values_before(replies) == {
        "efficacy": 1, "edit_wise": 1, "multihop": 1, "multihop_3": 1, "multihop_mean": 0.5,
    }  # fmt: skip
    bare = case(reduced.model_copy(update={"new_answer": None, "n_hops": None}), Options())
    assert bare.values_before(answering(bare.questions)) == {"efficacy": 0, "edit_wise": 0}


def test_a_fact_is_asked_after_its_relations_demonstrations_and_an_edited_one_by_its_statement() -> None:
    triples = (("Q1", "P27", "Q2"), ("Q2", "P6", "Q3"))
    prompts = MquakePrompts(relations={"P27": "Q: x A: y"})
    made = case(record(triples=triples, new_triples=triples), Options(prompts=prompts))
    asked = Ask("Q: x A: y\nQ: Whose citizen is Ann? A:", 20, "line")
    assert made.asked_before.asks == (asked, Ask("The head of Fiji is"))
    assert made.questions.asks[:3] == (
        Ask("Ann is a citizen of"),
        Ask("Ann is a citizen of"),
        Ask("The head of Peru is"),
    )


def test_the_unedited_model_is_judged_by_the_old_answer_of_any_time(answering) -> None:
    base = record()
    made = case(
        record(
            answer_other_times=("Oldest",),
            hops=(base.hops[0], base.hops[1].model_copy(update={"other_times": ("Oldest",)})),
        ),
        Options(),
    )
    before = answering(
        made.all_questions,
        said={"Ann is a citizen of": "Fiji.", "The head of Fiji is": "Oldest.", QUESTIONS[1]: "Oldest."},
    )
    values = made.values_before(before)
    assert (values[RECALLED], values["multihop_before"], values["multihop_before_mean"]) == (1, 1, 0.5)
    assert values["multihop"] == 0
    assert "multihop_before" not in made.values(before, before)
