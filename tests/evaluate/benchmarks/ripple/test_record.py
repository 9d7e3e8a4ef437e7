from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.ripple.record import CRITERIA
from kgedit.evaluate.benchmarks.ripple.relations import WORDINGS


def fact(relation: str, subject: str, target: str, target_id: str = "Q3") -> dict:
    before, after, _ = WORDINGS[relation]
    return {
        "prompt": f"{before}{subject}{after} {target}.",
        "subject_id": "Q1",
        "relation": relation,
        "target_id": target_id,
    }


def query(prompt: str, *names: str, **changes) -> dict:
    return {
        "prompt": prompt,
        "answers": [{"value": names[0], "aliases": list(names[1:])}] if names else [],
        "query_type": "regular",
        "subject_id": "Q1",
        "relation": "MOTHER",
        "target_ids": ["Q9"],
        "phrase": None,
    } | changes


def asked(*queries: dict, conditions: tuple[dict, ...] = (), condition: str = "OR") -> dict:
    return {"test_queries": list(queries), "test_condition": condition, "condition_queries": list(conditions)}


def ripple(edit: dict | None = None, old: dict | None = None, **tests) -> dict:
    edit = edit or fact("SPOUSE", "Foo Bar", "Baz Quux")
    old = {"original_fact": old} if old else {}
    return {"example_type": "popular", "edit": edit | old} | {name: [] for name in CRITERIA} | tests


def test_the_sentence_says_subject_and_object(load_records) -> None:
    old = fact("SPOUSE", "Foo Bar", "Corge Quux", "Q4")
    loaded = load_records(ripple(old=old))
    (record,) = loaded.records
    assert (loaded.format, record.example_type, record.relation) == ("rippleedits", "popular", "SPOUSE")
    rewrite = record.rewrite
    assert rewrite.prompt == "The name of the spouse of {} is"
    assert (rewrite.subject, rewrite.target_new, rewrite.target_true) == ("Foo Bar", "Baz Quux", "Corge Quux")
    ids = (rewrite.subject_id, rewrite.relation_id, rewrite.target_new_id, rewrite.target_true_id)
    assert ids == ("Q1", "P26", "Q3", "Q4")


@pytest.mark.parametrize("relation", WORDINGS)
def test_every_wording_is_read_back(load_records, relation) -> None:
    rewrite = load_records(ripple(fact(relation, "Foo Bar", "Baz Inc."))).records[0].rewrite
    assert (rewrite.subject, rewrite.target_new) == ("Foo Bar", "Baz Inc.")
    assert rewrite.relation_id == WORDINGS[relation].property


def test_a_recent_fact_has_no_old_object(load_records) -> None:
    record = load_records(ripple() | {"example_type": "recent"}).records[0]
    assert (record.rewrite.target_true, record.rewrite.target_true_id) == (None, None)


def test_an_old_object_without_a_label_is_none(load_records) -> None:
    record = load_records(ripple(old=fact("SPOUSE", "Foo Bar", ""))).records[0]
    assert record.rewrite.target_true is None


def test_a_list_of_criteria_may_be_missing(load_records) -> None:
    record = ripple()
    del record["Forgetfulness"]
    assert load_records(record).records[0].tests == ()


@pytest.mark.parametrize(
    ("subject", "target", "alias_test", "old"),
    [
        ("This is Foo", "Baz", False, "Quux"),
        ("This is Foo", "Baz", False, None),
        ("Foo", "Baz is Back", False, "Quux"),
        ("Foo", "Baz is Back", True, None),
        ("This is Foo", "Baz is Back", True, "Quux"),
    ],
)
def test_a_name_may_hold_the_words_around_it(load_records, subject, target, alias_test, old) -> None:
    alias = query("The name of the director of Fuu is", target, target_ids=["Q3"], relation="DIRECTOR")
    record = ripple(
        fact("DIRECTOR", subject, target),
        fact("DIRECTOR", subject, old, "Q4") if old else None,
        Subject_Aliasing=[asked(alias)] if alias_test else [],
    )
    rewrite = load_records(record).records[0].rewrite
    assert (rewrite.subject, rewrite.target_new, rewrite.target_true) == (subject, target, old)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (fact("MOTHER", "", "Baz"), "does not name its subject"),
        (fact("MOTHER", "Foo", ""), "does not name its object"),
        (fact("MOTHER", "Foo", "Baz") | {"relation": "COUSIN"}, "'COUSIN' is not a relation whose wording is known"),
        (fact("MOTHER", "Foo", "Baz") | {"relation": "FATHER"}, "not worded as FATHER"),
        (fact("MOTHER", "Foo", "Baz") | {"target_id": 3}, "edit.target_id: "),
    ],
)
def test_an_edit_that_cannot_be_read_is_named(load_records, edit, reason) -> None:
    loaded = load_records(ripple(edit), ripple())
    assert [record.case_id for record in loaded.records] == [1]
    assert reason in loaded.skipped[0].reason


def test_tests_keep_their_conditions_and_answers(load_records) -> None:
    two_hop = query(
        "The name of the mother of the spouse of Foo Bar is",
        "Grault",
        "G.",
        query_type="two_hop",
        target_ids=["Q3"],
        second_relation="MOTHER",
        second_hop_target_ids=["Q7"],
    )
    condition = query("The name of the mother of Baz Quux is", "Grault")
    record = load_records(
        ripple(Compositionality_I=[asked(two_hop, conditions=(condition,), condition="AND")])
    ).records[0]
    (test,) = record.of("Compositionality_I")
    assert record.tests == (test,)
    assert test.condition == "AND"
    assert test.queries[0].answers == (("Grault", "G."),)
    assert test.queries[0].target_ids == ("Q7",)  # what the answer names, not the hop on the way
    assert test.conditions[0].prompt == "The name of the mother of Baz Quux is"
    assert record.of("Forgetfulness") == ()


def test_several_answers_are_all_needed(load_records) -> None:
    answers = [{"value": "Ann", "aliases": []}, {"value": "Bob", "aliases": ["Rob"]}]
    test = asked(query("The names of the siblings of Foo Bar are", answers=answers, target_ids=["Q5", "Q6"]))
    record = load_records(ripple(Relation_Specificity=[test])).records[0]
    assert record.tests[0].queries[0].answers == (("Ann",), ("Bob", "Rob"))


def test_conditions_answers_and_targets_may_be_empty_and_a_subject_a_list(load_records) -> None:
    test = asked(query("The name of the mother of Foo Bar is", subject_id=["Q1", "Q2"], target_ids=[]))
    loaded = load_records(ripple(Logical_Generalization=[test]))
    (kept,) = loaded.records[0].tests
    assert (kept.conditions, kept.queries[0].answers, kept.queries[0].target_ids) == ((), (), ())
    assert kept.queries[0].subject_ids == ("Q1", "Q2")
    assert loaded.dropped == ()


def test_a_literal_target_is_text(load_records) -> None:
    test = asked(query("The number of children Foo Bar has is", "3", target_ids=[3]))
    record = load_records(ripple(fact("NUMBER_OF_CHILDREN", "Foo", "2", "2"), Logical_Generalization=[test])).records[
        0
    ]
    assert record.tests[0].queries[0].target_ids == ("3",)
    assert (record.rewrite.target_new, record.rewrite.target_new_id) == ("2", None)


@pytest.mark.parametrize(
    "prompt",
    ["The name of the mother of  is", "The name of the mother of <subject> is", " follows", " "],
)
def test_a_test_about_an_unlabelled_subject_is_dropped_and_named(load_records, prompt) -> None:
    good = query("The name of the mother of Foo Bar is", "Grault")
    tests = [asked(query(prompt, "Grault")), asked(good, conditions=(query(prompt, "Grault"),)), asked(good), asked()]
    loaded = load_records(ripple(Relation_Specificity=tests))
    assert len(loaded.records[0].tests) == 1
    parts = [item.part for item in loaded.dropped]
    assert parts == [f"Relation_Specificity[{position}]" for position in (0, 1, 3)]
    assert "does not name its subject" in loaded.dropped[0].reason


def test_a_blank_alias_is_dropped_and_an_answer_of_nothing_else_drops_its_test(load_records) -> None:
    prompt = "The name of the mother of Foo Bar is"
    loaded = load_records(ripple(Forgetfulness=[asked(query(prompt, "Grault", "")), asked(query(prompt, ""))]))
    assert [test.queries[0].answers for test in loaded.records[0].tests] == [(("Grault",),)]
    assert "without a name" in loaded.dropped[-1].reason
