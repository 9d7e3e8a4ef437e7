from __future__ import annotations


def zsre(**changes) -> dict:
    return {
        "subject": "Foo Works",
        "src": "Which product does Foo Works make?",
        "pred": " shoes",
        "rephrase": "What is made by Foo Works?",
        "alt": " hats",
        "answers": ["boots", "winter boots"],
        "loc": "nq question: who was the first person to bar",
        "loc_ans": "Baz Quux",
        "cond": "shoes >> hats || Which product does Foo Works make?",
    } | changes


def test_alt_is_the_target_and_answers_the_truth(load_records) -> None:
    loaded = load_records(zsre())
    (record,) = loaded.records
    assert (loaded.format, record.case_id) == ("zsre", 0)
    assert record.rewrite.prompt == "Which product does {} make?"
    assert record.rewrite.question == "Which product does Foo Works make?"
    assert (record.rewrite.target_new, record.rewrite.target_true) == ("hats", "boots")
    assert record.true_answers == ("boots", "winter boots")
    assert record.paraphrases == ("What is made by Foo Works?",)
    assert record.predicted == " shoes"


def test_the_locality_question_keeps_its_prefix(load_records) -> None:
    (probe,) = load_records(zsre()).records[0].locality
    assert probe.prompt == "nq question: who was the first person to bar"
    assert probe.answer == "Baz Quux"


def test_an_empty_target_is_named(load_records) -> None:
    loaded = load_records(zsre(alt=" "), zsre())
    assert [record.case_id for record in loaded.records] == [1]  # ids are positions in the file
    assert "alt: empty" in str(loaded.skipped[0])


def test_blank_answers_would_match_anything_and_are_dropped(load_records) -> None:
    loaded = load_records(zsre(answers=["", "boots"]), zsre(answers=[]))
    assert loaded.records[0].true_answers == ("boots",)
    assert loaded.records[1].rewrite.target_true is None
    assert [(item.index, item.part) for item in loaded.dropped] == [(0, "answers[0]")]


def test_a_target_that_is_the_truth_is_kept_and_says_so(load_records) -> None:
    loaded = load_records(zsre(alt="boots"), zsre())
    assert [record.rewrite.changes for record in loaded.records] == [False, True]


def test_portability(load_records) -> None:
    question = {"New Question": "Where are the products of Foo Works worn?", "New Answer": "on the head"}
    loaded = load_records(zsre(portability=question), zsre(portability={}), zsre(portability=question))
    assert loaded.format == "zsre-plus"
    assert [record.portability.answer for record in loaded.records] == ["on the head"] * 2
    assert "New Question: Field required" in loaded.skipped[0].reason
