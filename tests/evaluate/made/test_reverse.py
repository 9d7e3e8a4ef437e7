"""Made files in BAKE's layout: objects with one subject, asked in wordings that no method optimises."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.made.files import make_benchmark

pytestmark = pytest.mark.timeout(900)


def test_the_new_object_had_one_subject_and_is_asked_in_a_held_out_wording(book, tmp_path) -> None:
    made = make_benchmark("reverse", tmp_path, seed=5, sizes={"dev": 4, "test": 12})
    records = [record for path in made.files.values() for record in load(path).records]
    assert (made.cases, load(made.files["test"]).format) == ({"dev": 4, "test": 12}, "bake")
    ends = {end for fact in book.facts for end in fact[::2]}
    ids = {label: id for id, label in book.labels.items() if id in ends}
    for record in records:
        rewrite, relation = record.rewrite, record.rewrite.relation_id
        reverse = book.text.reverse(relation)
        assert reverse.single
        asked = [*reverse.cloze[1:], *(f"Q: {question} A:" for question in reverse.question[1:])]
        assert record.reverse.prompt in [text.replace("{}", rewrite.target_new) for text in asked]
        assert record.reverse.answer == rewrite.subject
        (before,) = book.subjects_of[relation, ids[rewrite.target_new]]
        assert record.reverse.before == book.labels[before] != rewrite.subject
        known = {book.labels[fact.object] for fact in book.of_subject[ids[rewrite.target_new]]}
        assert {probe.answer for probe in record.object_facts} <= known - {record.reverse.before}
    assert any(record.object_facts for record in records)
    assert len({record.rewrite.subject for record in records}) == len(records)
