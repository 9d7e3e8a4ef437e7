"""BAKE's layout: both files, and what is written is read again."""

from __future__ import annotations

import json
from typing import Any

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
