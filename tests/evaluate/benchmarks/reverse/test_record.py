"""BAKE's layout: both files, and what is written is read again."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from kgedit.evaluate.benchmarks.reverse.record import to_original

REWRITE = {
    "prompt": "The capital of {} is",
    "relation_id": "P36",
    "target_new": {"str": "Lyon", "id": "Q456"},
    "target_true": {"str": "Rome", "id": "Q220"},
    "subject": "Italy",
}
ASKED = {"prompt": "Lyon is the capital of", "target_new": {"str": "Italy"}, "target_true": {"str": "Rhône"}}
JUDGED = {
    "prompt": "Whether Lyon is the capital of Italy?",
    "target_new": {"str": "yes"},
    "target_true": {"str": "no"},
}
BOTH: dict[str, Any] = {
    "case_id": 7,
    "requested_rewrite": REWRITE,
    "paraphrase_prompts": ["Italy is ruled from"],
    "neighborhood_prompts": [],
    "reverse_qa": ASKED,
    "reverse_judge": JUDGED,
}


def test_both_files_are_told_by_their_keys(load_records) -> None:
    judged = {
        key: value for key, value in BOTH.items() if key not in ("reverse_qa", "case_id", "neighborhood_prompts")
    }
    for raw, asked in ((BOTH, "Lyon is the capital of"), (judged, None)):
        loaded = load_records(raw)
        assert (loaded.format, loaded.skipped) == ("bake", ())
        (record,) = loaded.records
        assert (record.reverse and record.reverse.prompt) == asked
        assert (record.judgement.answer, record.judgement.before) == ("yes", "no")
        assert record.rewrite.target_true == "Rome"
    plain = {key: value for key, value in BOTH.items() if not key.startswith("reverse")}
    assert load_records(plain).format == "counterfact"


def test_an_answer_before_may_be_missing(load_records) -> None:
    (record,) = load_records(BOTH | {"reverse_qa": {"prompt": "Lyon is", "target_new": {"str": "Italy"}}}).records
    assert (record.reverse.answer, record.reverse.before) == ("Italy", None)


def test_what_is_written_is_read_again(load_records) -> None:
    (record,) = load_records(
        BOTH | {"object_facts": [{"prompt": "Lyon lies in", "target": {"str": "France"}}]}
    ).records
    assert record.object_facts[0].answer == "France"
    again = load_records(json.loads(json.dumps(to_original(record))))
    assert again.records == (record,)


def test_what_the_released_evaluation_reads_of_a_record_is_enough(load_records) -> None:
    read = {
        "requested_rewrite": {
            key: {"str": value["str"]} if isinstance(value, dict) else value for key, value in REWRITE.items()
        },
        "reverse_judge": {"prompt": JUDGED["prompt"], "target_new": JUDGED["target_new"]},
    }
    asked = {"reverse_qa": {"prompt": ASKED["prompt"], "target_new": ASKED["target_new"]}}
    for raw, answers in ((read, (None, "yes")), (read | asked, ("Italy", "yes"))):
        loaded = load_records(raw)
        assert (loaded.format, loaded.skipped) == ("bake", ())
        (record,) = loaded.records
        assert (record.reverse and record.reverse.answer, record.judgement.answer) == answers


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("requested_rewrite.subject", "requested_rewrite.subject: Field required"),
        ("requested_rewrite.target_true", "requested_rewrite.target_true: Field required"),
        ("reverse_qa.prompt", "reverse_qa.prompt: Field required"),
        ("reverse_judge.target_new", "reverse_judge.target_new: Field required"),
        ("reverse_qa reverse_judge", "reverse_qa, reverse_judge: the record has neither"),
    ],
)
def test_a_record_without_a_field_is_left_out_with_one_reason_and_the_others_are_read(
    load_records, missing, told
) -> None:
    broken = deepcopy(BOTH) | {"case_id": 8}
    for path in missing.split():
        *above, last = path.split(".")
        del (broken[above[0]] if above else broken)[last]
    loaded = load_records(BOTH, broken)
    assert [record.case_id for record in loaded.records] == [7]
    (omission,) = loaded.skipped
    assert str(omission) == f"records.json: record 1 (id 8): {omission.reason}"
    assert omission.reason.startswith(told)
    assert "\n" not in omission.reason
