from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.mquake import record as mquake
from kgedit.evaluate.benchmarks.records import MalformedRecord


def hop(subject: str, relation: str, answer: str, *aliases: str) -> dict:
    return {
        "question": f"What is the {relation} of {subject}?",
        "cloze": f"The {relation} of {subject} is",
        "answer": answer,
        "answer_alias": list(aliases),
    }


def rewrite(subject: str, relation: str, property_id: str, new: tuple[str, str], true: tuple[str, str]) -> dict:
    return {
        "prompt": f"The {relation} of {{}} is",
        "relation_id": property_id,
        "target_new": {"str": new[0], "id": new[1]},
        "target_true": {"str": true[0], "id": true[1]},
        "subject": subject,
        "question": f"What is the {relation} of {subject}?",
    }


def mquake_case(**changes) -> dict:
    """Foo's home is moved from Barland to Bazland; Bazland's chief from Quux to Corge; asked is the chief's tongue."""
    return {
        "case_id": 12,
        "requested_rewrite": [
            rewrite("Foo", "home", "P27", ("Bazland", "Q30"), ("Barland", "Q20")),
            rewrite("Bazland", "chief", "P6", ("Corge", "Q50"), ("Quux", "Q40")),
        ],
        "questions": ["What does the chief of Foo's home speak? ", "Which tongue has that chief?", "And that is?"],
        "answer": "Barish",
        "answer_alias": [],
        "new_answer": "Corgish",
        "new_answer_alias": ["Corge's tongue"],
        "single_hops": [
            hop("Foo", "home", "Barland"),
            hop("Barland", "chief", "Garply"),
            hop("Garply", "tongue", "Barish"),
        ],
        "new_single_hops": [
            hop("Foo", "home", "Bazland", "Baz"),
            hop("Bazland", "chief", "Corge"),
            hop("Corge", "tongue", "Corgish"),
        ],
        "orig": {
            "triples": [["Q10", "P27", "Q20"], ["Q20", "P6", "Q21"], ["Q21", "P103", "Q22"]],
            "triples_labeled": [
                ["Foo", "home", "Barland"],
                ["Barland", "chief", "Garply"],
                ["Garply", "tongue", "Barish"],
            ],
            "new_triples": [["Q10", "P27", "Q30"], ["Q30", "P6", "Q50"], ["Q50", "P103", "Q60"]],
            "new_triples_labeled": [
                ["Foo", "home", "Bazland"],
                ["Bazland", "chief", "Corge"],
                ["Corge", "tongue", "Corgish"],
            ],
            "edit_triples": [["Q10", "P27", "Q30"], ["Q30", "P6", "Q50"]],
            "edit_triples_idx": [0, 1],
        },
    } | changes


def on_the_hub(case: dict) -> dict:
    """The same case in the flat columns that MQuAKE-Remastered has on the hub."""
    flat = {key: value for key, value in case.items() if key not in ("orig", "requested_rewrite")}
    flat["requested_rewrite"] = [
        {key: value for key, value in asked.items() if not key.startswith("target")}
        | {f"{name}_str": asked[name]["str"] for name in ("target_new", "target_true")}
        | {f"{name}_id": asked[name]["id"] for name in ("target_new", "target_true")}
        for asked in case["requested_rewrite"]
    ]
    origin = case["orig"]
    flat |= {"orig_triples": origin["triples"], "orig_triples_labeled": origin["triples_labeled"]}
    flat |= {key: origin[key] for key in ("new_triples", "new_triples_labeled", "edit_triples")}
    return flat


def test_a_case_with_two_edits(load_records) -> None:
    loaded = load_records(mquake_case())
    (record,) = loaded.records
    assert (loaded.format, record.case_id, loaded.dropped) == ("mquake", 12, ())
    first, second = record.rewrites
    assert (first.text, first.target_new, first.target_true) == ("The home of Foo is", "Bazland", "Barland")
    assert (first.subject_id, first.relation_id, first.target_new_id) == ("Q10", "P27", "Q30")
    assert (second.subject_id, second.question) == ("Q30", "What is the chief of Bazland?")
    assert record.questions[0] == "What does the chief of Foo's home speak?"  # no space at the end
    assert (record.answer, record.new_answer, record.new_answer_aliases) == ("Barish", "Corgish", ("Corge's tongue",))
    assert [h.answer for h in record.hops] == ["Barland", "Garply", "Barish"]
    assert [h.answer for h in record.new_hops] == ["Bazland", "Corge", "Corgish"]
    assert record.new_hops[0].aliases == ("Baz",)
    assert record.edited == (0, 1)
    assert record.new_triples[1] == ("Q30", "P6", "Q50")


def test_an_edit_in_the_middle_of_the_chain_is_found_there(load_records) -> None:
    record = load_records(mquake_case(requested_rewrite=mquake_case()["requested_rewrite"][1:])).records[0]
    assert record.edited == (1,)


def test_without_ids_of_the_chain_subjects_have_none(load_records) -> None:
    case = mquake_case()
    del case["orig"]
    record = load_records(case).records[0]
    assert [asked.subject_id for asked in record.rewrites] == [None, None]
    assert (record.new_triples, record.edited) == ((), (0, 1))


def test_the_flat_columns_of_the_hub_read_the_same(load_records) -> None:
    case = mquake_case()
    usual, flat = load_records(case).records[0], load_records(on_the_hub(case)).records[0]
    assert flat == usual


def test_remastered_says_which_cases_count_as_edited(load_records) -> None:
    split = {"1": [], "1000": ["edited"]}
    record = load_records(mquake_case(split=split)).records[0]
    assert record.splits == {"1": (), "1000": ("edited",)}
    assert mquake.to_original(record)["split"] == split


def test_blank_aliases_would_match_anything_and_are_dropped(load_records) -> None:
    hops = mquake_case()["new_single_hops"]
    hops[2]["answer_alias"] = ["Corge's tongue", " "]
    loaded = load_records(mquake_case(new_answer_alias=["", "Corge's tongue"], new_single_hops=hops))
    assert loaded.records[0].new_answer_aliases == loaded.records[0].new_hops[2].aliases == ("Corge's tongue",)
    parts = [item.part for item in loaded.dropped]
    assert parts == ["new_answer_alias[0]", "new_single_hops[2].answer_alias[1]"]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"requested_rewrite": []}, "requested_rewrite: "),
        ({"requested_rewrite": ["Foo"]}, "requested_rewrite.0: "),
        ({"questions": []}, "questions: "),
        ({"new_single_hops": []}, "new_hops: "),
        ({"single_hops": [{"question": "What?"}]}, "single_hops.0.answer: Field required"),
        ({"new_answer": " "}, "new_answer: "),
        ({"orig": {"triples": [["Q1", "P1"]]}}, "orig.triples[0]: has 2 parts"),
    ],
)
def test_a_malformed_case_is_named_with_the_place_of_its_fault(load_records, changes, where) -> None:
    loaded = load_records(mquake_case(**changes), mquake_case(case_id=13), mquake_case(case_id=14))
    assert [record.case_id for record in loaded.records] == [13, 14]
    assert loaded.skipped[0].case_id == 12
    assert where in loaded.skipped[0].reason


def test_what_is_written_reads_the_same(load_records) -> None:
    case = mquake_case(questions=["One?", "Two?", "Three?"])
    read = load_records(case).records[0]
    written = mquake.to_original(read)
    assert written == case
    assert list(written) == list(case)
    assert load_records(written).records[0] == read


def test_a_rewrite_without_an_old_object_cannot_be_written(load_records) -> None:
    read = load_records(mquake_case()).records[0]
    bare = read.rewrite.model_copy(update={"target_true": None})
    with pytest.raises(MalformedRecord, match="no old object"):
        mquake.to_original(read.model_copy(update={"rewrites": (bare,)}))


def test_answers_of_other_times_are_read_and_written_again(load_records) -> None:
    case = mquake_case(answer_extended=["Old Barish", " "])
    case["single_hops"][1]["answer_extended"] = ["Waldo"]
    loaded = load_records(case)
    (record,) = loaded.records
    assert record.answer_other_times == ("Old Barish",)
    assert [hop.other_times for hop in record.hops] == [(), ("Waldo",), ()]
    assert "answer_extended[1]" in str(loaded.dropped[0])
    written = mquake.to_original(record)
    assert written["answer_extended"] == ["Old Barish"]
    assert written["single_hops"][1]["answer_extended"] == ["Waldo"]
    assert "answer_extended" not in written["single_hops"][0]
