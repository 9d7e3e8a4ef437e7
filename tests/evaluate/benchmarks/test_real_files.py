"""Every real file loads, and each record that is left out is left out for a reason that is known."""

from __future__ import annotations

import json

import pytest

from kgedit.edit import Edit
from kgedit.evaluate.benchmarks.counterfact import record as counterfact
from kgedit.evaluate.benchmarks.mquake import record as mquake
from kgedit.evaluate.benchmarks.reading import Loaded, load
from kgedit.evaluate.benchmarks.ripple.record import CRITERIA

# File -> format, records, records left out, parts of records left out.
FILES = {
    "counterfact/counterfact.json": ("counterfact", 20, 0, 0),
    "counterfact/easyedit_counterfact-edit.json": ("counterfact-flat", 20, 0, 0),
    "zsre/zsre_mend_eval_portability_gpt4.json": ("zsre-plus", 20, 0, 0),
    "zsre/zsre_mend_train-1k.json": ("zsre", 16, 2, 0),
    "mquake/MQuAKE-hard.json": ("mquake", 10, 0, 0),
    "mquake/MQuAKE-CF-3k-v2.sample6.json": ("mquake", 6, 0, 0),
    "mquake/MQuAKE-CF-3k.questions_and_edits.jsonl": ("mquake-questions", 20, 0, 0),
    "mquake/MQuAKE-T.questions_and_edits.jsonl": ("mquake-questions", 20, 0, 0),
    "knowedit/wiki_recent.json": ("knowedit", 20, 0, 2),
    "knowedit/wiki_counterfact.json": ("knowedit", 20, 0, 3),
    "rippleedits/popular_sample3.json": ("rippleedits", 3, 0, 0),
    "known_facts/known_1000.json": ("known-facts", 20, 0, 0),
}


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_loads_in_full_but_for_named_records(real, name) -> None:
    loaded = load(real / name)
    counts = (loaded.format, len(loaded.records), len(loaded.skipped), len(loaded.dropped))
    assert counts == FILES[name]
    assert len({record.case_id for record in loaded.records}) == len(loaded.records)
    for record in loaded.records:
        for rewrite in record.rewrites:
            assert rewrite.text.count(rewrite.subject) >= 1
            # What loads can be asked of an editor.
            Edit(subject=rewrite.subject, prompt=rewrite.prompt, target_new=rewrite.target_new)


def test_no_file_of_a_known_benchmark_is_missing_from_the_table(real) -> None:
    folders = {name.split("/")[0] for name in FILES}
    found = {str(path.relative_to(real)) for folder in folders for path in (real / folder).glob("*.json*")}
    assert found == set(FILES)


def test_the_two_zsre_records_without_a_target_are_named(real) -> None:
    loaded = load(real / "zsre/zsre_mend_train-1k.json")
    assert [item.index for item in loaded.skipped] == [8, 17]
    assert all("alt: empty" in item.reason for item in loaded.skipped)
    assert "2 records left out" in loaded.summary()


def test_knowedit_probes_without_an_answer_are_named(real) -> None:
    recent, counter = load(real / "knowedit/wiki_recent.json"), load(real / "knowedit/wiki_counterfact.json")
    assert {item.reason for item in recent.dropped} == {"the answer has no name", "the probe has no answer"}
    assert [(item.index, item.part) for item in counter.dropped] == [
        (10, "locality.Forgetfulness[0]"),
        (11, "locality.Relation_Specificity[0]"),
        (12, "ground_truth"),
    ]


def raw_and_read(path) -> tuple[list[dict], Loaded]:
    return json.loads(path.read_text(encoding="utf-8")), load(path)


def test_counterfact_is_written_as_it_was_read(real) -> None:
    raw, loaded = raw_and_read(real / "counterfact/counterfact.json")
    written = [counterfact.to_original(record) for record in loaded.records]
    assert json.dumps(written) == json.dumps(raw)


@pytest.mark.parametrize("name", ["MQuAKE-hard.json", "MQuAKE-CF-3k-v2.sample6.json"])
def test_mquake_is_written_as_it_was_read(real, name) -> None:
    raw, loaded = raw_and_read(real / "mquake" / name)
    for record in raw:  # some published questions end in a space, which no prompt keeps
        record["questions"] = [question.strip() for question in record["questions"]]
    written = [mquake.to_original(record) for record in loaded.records]
    assert json.dumps(written) == json.dumps(raw)


def test_mquake_knows_subjects_by_item_and_edited_hops_by_position(real) -> None:
    raw, loaded = raw_and_read(real / "mquake/MQuAKE-hard.json")
    for before, record in zip(raw, loaded.records, strict=True):
        assert list(record.edited) == before["orig"]["edit_triples_idx"]
        subjects = [triple[0] for triple in before["orig"]["edit_triples"]]
        assert [rewrite.subject_id for rewrite in record.rewrites] == subjects


def test_derived_mquake_edits_have_subject_and_relation(real) -> None:
    loaded = load(real / "mquake/MQuAKE-CF-3k.questions_and_edits.jsonl")
    first, second = loaded.records[:2]
    assert (first.rewrite.subject, first.rewrite.relation_id, first.new_answer) == ("Misery", "P50", None)
    assert (second.rewrite.subject, second.new_answer) == ("United States of America", "El Campu")
    assert {len(record.questions) for record in loaded.records} == {3}
    raw = [json.loads(line) for line in (real / "mquake" / loaded.source).read_text(encoding="utf-8").splitlines()]
    for before, record in zip(raw, loaded.records, strict=True):
        statements = [f"{rewrite.text} {rewrite.target_new}" for rewrite in record.rewrites]
        assert statements == [hop["edit"] for hop in before["edited_hops"] if hop]


def test_ripple_edits_name_subject_and_objects(real) -> None:
    loaded = load(real / "rippleedits/popular_sample3.json")
    facts = [
        (r.rewrite.subject, r.rewrite.relation_id, r.rewrite.target_new, r.rewrite.target_true) for r in loaded.records
    ]
    assert facts == [
        ("Leonardo DiCaprio", "P27", "Syria", "United States of America"),
        ("Academy Award for Best Picture", "P17", "Wassoulou Empire", "United States of America"),
        ("Ron DeSantis", "P26", "Carol Chu", "Casey DeSantis"),
    ]
    counts = [{name: len(record.of(name)) for name in CRITERIA if record.of(name)} for record in loaded.records]
    assert counts[0] == {"Compositionality_I": 7, "Subject_Aliasing": 4, "Relation_Specificity": 9, "Forgetfulness": 1}
    unanswered = loaded.records[1].of("Logical_Generalization")[1].queries[0]
    assert (unanswered.answers, unanswered.target_ids) == ((), ())
    unconditional = loaded.records[2].of("Logical_Generalization")[0]
    assert (unconditional.conditions, unconditional.queries[0].subject_ids) == ((), ("Q9194014",))


def test_zsre_keeps_the_prefix_of_its_locality_questions(real) -> None:
    loaded = load(real / "zsre/zsre_mend_eval_portability_gpt4.json")
    assert all(record.locality[0].prompt.startswith("nq question: ") for record in loaded.records)
    assert all(record.portability.answer for record in loaded.records)
    assert sum(not record.rewrite.changes for record in loaded.records) == 2  # the edit asks for the truth


def test_a_folder_of_one_format_is_read_as_one(real) -> None:
    loaded = load(real / "knowedit")
    assert len(loaded.records) == 40
    assert loaded.records[0].case_id == "wiki_counterfact/0"
    assert loaded.records[-1].case_id == "wiki_recent/19"
