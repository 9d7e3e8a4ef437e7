from __future__ import annotations


def test_a_fact_is_asked_for_with_the_traced_prompt(load_records) -> None:
    fact = {
        "known_id": 5,
        "subject": "Mount Foo",
        "attribute": "Asia",
        "template": "{} lies on the continent",
        "prediction": " Asia.\n\nIt is high",
        "prompt": "Mount Foo lies on the continent of",
        "relation_id": "P30",
    }
    loaded = load_records(fact, fact | {"known_id": 6, "prompt": "It lies in"})
    (record,) = loaded.records
    assert (loaded.format, record.case_id, record.rewrites) == ("known-facts", 5, ())
    assert record.prompt == "{} lies on the continent of"
    assert (record.subject, record.answer, record.relation_id) == ("Mount Foo", "Asia", "P30")
    assert record.prediction == " Asia.\n\nIt is high"
    assert [item.case_id for item in loaded.skipped] == [6]
