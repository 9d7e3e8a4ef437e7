from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.counterfact import record as counterfact
from kgedit.evaluate.benchmarks.records import MalformedRecord, Probe


def original(**changes) -> dict:
    return {
        "case_id": 7,
        "pararel_idx": 11,
        "requested_rewrite": {
            "prompt": "{} grows in",
            "relation_id": "P30",
            "target_new": {"str": "Asia", "id": "Q48"},
            "target_true": {"str": "Africa", "id": "Q15"},
            "subject": "The Foo Tree",
        },
        "paraphrase_prompts": ["Some text.\nThe Foo Tree is found in", "One meets The Foo Tree in"],
        "neighborhood_prompts": ["The Bar Tree grows in"],
        "attribute_prompts": ["The Baz Tree grows in"],
        "generation_prompts": ["The Foo Tree is famous for"],
    } | changes


PORTABILITY = {
    "Recalled Relation": "(Asia, highest mountain, Mount Everest)",
    "New Question": "What is the highest mountain where The Foo Tree grows?",
    "New Answer": "Mount Everest",
}


def flat(**changes) -> dict:
    return {
        "case_id": 3,
        "prompt": "The Foo Tree grows in",
        "target_new": "Asia",
        "subject": "The Foo Tree",
        "ground_truth": "Africa",
        "rephrase_prompt": "One meets The Foo Tree in",
        "locality_prompt": "The Bar Tree grows in",
        "locality_ground_truth": "Africa",
    } | changes


def test_the_original_layout(load_records) -> None:
    loaded = load_records(original())
    (record,) = loaded.records
    assert loaded.format == "counterfact"
    rewrite = record.rewrite
    assert (rewrite.text, rewrite.target_new, rewrite.target_true) == ("The Foo Tree grows in", "Asia", "Africa")
    assert (rewrite.relation_id, rewrite.target_new_id, rewrite.target_true_id) == ("P30", "Q48", "Q15")
    assert rewrite.subject_id is None
    assert record.neighborhood == (Probe(prompt="The Bar Tree grows in", answers=(("Africa",),)),)
    assert record.attributes == (Probe(prompt="The Baz Tree grows in", answers=(("Asia",),)),)
    assert record.paraphrases[0].startswith("Some text.\n")


def test_a_slot_may_stand_among_other_braces_only_once(load_records) -> None:
    twice = original(requested_rewrite=original()["requested_rewrite"] | {"prompt": "{} of {} grows in"})
    odd = original(case_id=8, paraphrase_prompts=["In C one writes {}. The Foo Tree is found in"])
    loaded = load_records(twice, odd)
    assert [record.case_id for record in loaded.records] == [8]
    assert "2 slots" in loaded.skipped[0].reason


def test_portability_makes_it_counterfact_plus(load_records) -> None:
    loaded = load_records(original(portability=PORTABILITY), original(case_id=8, portability=PORTABILITY), original())
    assert loaded.format == "counterfact-plus"
    assert loaded.records[0].portability.answer == "Mount Everest"
    assert loaded.records[0].portability.aliases == ()
    assert [(item.index, item.case_id) for item in loaded.skipped] == [(2, 7)]
    assert "no portability question" in loaded.skipped[0].reason


def test_the_flattened_layout_gets_its_slot_back(load_records) -> None:
    loaded = load_records(flat())
    (record,) = loaded.records
    assert loaded.format == "counterfact-flat"
    assert (record.rewrite.prompt, record.rewrite.subject) == ("{} grows in", "The Foo Tree")
    assert record.neighborhood[0].answer == "Africa"
    assert record.paraphrases == ("One meets The Foo Tree in",)


def test_a_neighbour_of_the_flattened_layout_has_its_own_answer(load_records) -> None:
    record = load_records(flat(locality_ground_truth="Europe")).records[0]
    assert record.neighborhood[0].answer == "Europe"
    with pytest.raises(MalformedRecord, match="not answered by 'Africa'"):
        counterfact.to_original(record)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("It grows in", "does not contain 'The Foo Tree'"),
        ("The Foo Trees grow in", "does not contain"),
        ("The Foo Tree or The Foo Tree grows in", "2 times"),
        ("{} or The Foo Tree grows in", "although it spells out its subject"),
    ],
)
def test_a_prompt_in_which_the_subject_cannot_be_found_is_left_out(load_records, prompt, reason) -> None:
    loaded = load_records(flat(prompt=prompt), flat(case_id=4))
    assert [record.case_id for record in loaded.records] == [4]
    assert reason in loaded.skipped[0].reason


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"requested_rewrite": {"prompt": "{} is"}}, "requested_rewrite.target_new: Field required"),
        ({"paraphrase_prompts": "one"}, "paraphrase_prompts: "),
        ({"paraphrase_prompts": ["  "]}, "paraphrases.0: "),
        ({"paraphrase_prompts": ["a\x00b"]}, "control characters"),
        ({"paraphrase_prompts": ["half \ud83d of a pair"]}, "unicode"),
        ({"case_id": True}, "case_id: "),
        ({"case_id": "7"}, "case_id: "),
    ],
)
def test_a_malformed_record_is_named_with_the_place_of_its_fault(load_records, changes, where) -> None:
    loaded = load_records(original(**changes), original(case_id=8))
    assert [record.case_id for record in loaded.records] == [8]
    assert where in loaded.skipped[0].reason


@pytest.mark.parametrize("identifier", ["1860", "P48", "Q048", "Q48\n", "Q４８"])
def test_an_id_that_is_none_is_refused(load_records, identifier) -> None:
    asked = original()["requested_rewrite"] | {"target_new": {"str": "Asia", "id": identifier}}
    loaded = load_records(original(requested_rewrite=asked))
    assert "target_new_id" in loaded.skipped[0].reason


@pytest.mark.parametrize("record", [original(), original(portability=PORTABILITY), original(pararel_idx=0)])
def test_what_is_written_reads_the_same(load_records, record) -> None:
    read = load_records(record).records[0]
    written = counterfact.to_original(read)
    assert written == record
    assert list(written) == list(record)
    assert load_records(written).records[0] == read


def test_a_made_record_without_a_pararel_index_is_written_without_it(load_records) -> None:
    made = load_records(flat()).records[0]
    written = counterfact.to_original(made)
    assert "pararel_idx" not in written
    assert load_records(written).records[0] == made
