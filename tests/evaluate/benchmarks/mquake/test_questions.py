from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.mquake.wordings import WORDINGS

QUESTIONS = ["Where does the author of Foo come from? ", "Whence the author of Foo?", "Of which land is that author?"]


def edit(statement: str, question: str, answer: str) -> dict:
    return {"question": question, "edit": f"{statement} {answer}", "new_answer": answer}


AUTHOR = edit("The author of Foo is", "Who is the author of Foo?", "Bar Baz")
CITIZEN = edit("Bar Baz is a citizen of", "What is the country of citizenship of Bar Baz?", "Quuxland")


def case(**changes) -> dict:
    return {"index": 4, "n_hops": 2, "questions": QUESTIONS, "edited_hops": [AUTHOR, CITIZEN]} | changes


def test_subject_and_relation_are_read_from_the_wordings(load_records) -> None:
    loaded = load_records(case())
    (record,) = loaded.records
    assert (loaded.format, record.case_id) == ("mquake-questions", 4)
    first, second = record.rewrites
    assert (first.subject, first.relation_id, first.prompt) == ("Foo", "P50", "The author of {} is")
    assert (second.subject, second.relation_id, second.target_new) == ("Bar Baz", "P27", "Quuxland")
    assert (first.target_true, first.target_new_id) == (None, None)
    assert first.question == "Who is the author of Foo?"
    assert (record.n_hops, record.edited, record.new_answer) == (2, (0, 1), "Quuxland")
    assert record.questions[0] == QUESTIONS[0].strip()


def test_the_answer_is_known_only_if_the_last_hop_is_edited(load_records) -> None:
    record = load_records(case(edited_hops=[AUTHOR, None])).records[0]
    assert (record.edited, record.new_answer) == ((0,), None)


def test_the_temporal_set_lists_its_edited_hop_alone(load_records) -> None:
    temporal = case(edited_hops=[CITIZEN])
    del temporal["n_hops"]
    record = load_records(temporal).records[0]
    assert (record.n_hops, record.edited, record.new_answer) == (None, (), None)
    assert record.rewrite.target_new == "Quuxland"


@pytest.mark.parametrize("relation", WORDINGS)
def test_every_wording_is_read_back(load_records, relation) -> None:
    cloze, question = (wording.replace("{}", "Foo") for wording in WORDINGS[relation])
    record = load_records(case(n_hops=1, edited_hops=[edit(cloze, question, "Bar")])).records[0]
    assert (record.rewrite.subject, record.rewrite.prompt) == ("Foo", WORDINGS[relation].cloze)
    # "Foo is located in" says P131 as well as P276.
    assert record.rewrite.relation_id == (None if relation in ("P131", "P276") else relation)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"edited_hops": [None, None]}, "no hop is edited"),
        ({"n_hops": 3}, "2 hops where n_hops says 3"),
        ({"edited_hops": [AUTHOR, CITIZEN | {"new_answer": "Barland"}]}, "does not end with its new answer"),
        ({"edited_hops": [AUTHOR, CITIZEN | {"question": "Who is Bar Baz?"}]}, "not worded as any relation"),
        ({"edited_hops": [AUTHOR, CITIZEN | {"new_answer": ""}]}, "does not end with its new answer"),
        ({"questions": []}, "questions: "),
    ],
)
def test_a_case_that_cannot_be_read_is_named(load_records, changes, reason) -> None:
    loaded = load_records(case(**changes), case(index=5))
    assert [record.case_id for record in loaded.records] == [5]
    assert (loaded.skipped[0].case_id, reason in loaded.skipped[0].reason) == (4, True)
