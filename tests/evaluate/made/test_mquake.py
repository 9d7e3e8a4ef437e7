"""Made MQuAKE files: consistent chains of known facts, in wordings that only scoring uses."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evaluate.made.shapes import keys_of
from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.made.mquake import HOPS, PER_HOPS, slots, sources
from kgedit.evaluate.made.recall import RecallFilter
from kgedit.lm.scoring.exact_answers import exact_answers

# The model is asked a thousand questions: some seconds, and minutes where the machine is busy.
pytestmark = pytest.mark.timeout(900)


def edits_of(records) -> list[tuple[str, str, str]]:
    return [triple for record in records for triple in record.edit_triples]


def test_files_load_with_nothing_left_out(mquake) -> None:
    for part, path in mquake.files.items():
        loaded = load(path)
        assert loaded.format == "mquake"
        assert loaded.skipped == loaded.dropped == ()
        assert len(loaded.records) == mquake.cases[part] == {"dev": 4, "test": 12}[part] * len(HOPS)
        assert Path(path).name == f"mquake-{part}.json"


def test_every_length_has_every_number_of_edits(mquake, chains) -> None:
    found = Counter((len(record.hops), len(record.rewrites)) for record in chains)
    assert found == {(2, 1): 8, (2, 2): 8, (3, 1): 5, (3, 2): 5, (3, 3): 6} | {(4, edits): 4 for edits in (1, 2, 3, 4)}
    assert mquake.classes["dev"]["4 hops, 1 edit"] == 1
    assert mquake.classes["test"]["2 hops, 2 edits"] == 6
    assert [record.case_id for record in chains] == list(range(1, 49)), "a number means one case of either file"


def test_a_beginning_of_a_file_is_as_mixed_as_the_whole() -> None:
    first = Counter((hops, edits) for _, hops, edits in slots("test", PER_HOPS["test"])[:36])
    assert first == {(hops, edits): 12 // hops for hops in HOPS for edits in range(1, hops + 1)}


@pytest.mark.long  # a few cases: test_files_load_with_nothing_left_out
def test_the_facts_give_as_many_cases_as_planned(book) -> None:
    """At full size at least 300 of each length; the model's recall has its say later, so there must be more."""
    assert sum(PER_HOPS.values()) >= 300
    drafts = sources(book, 0)
    for part, count in PER_HOPS.items():
        planned = slots(part, count)
        for slot in [*planned, *planned[: len(planned) // 10]]:
            assert next(drafts[slot], None) is not None, slot


def test_edits_of_the_two_parts_have_different_subjects(mquake) -> None:
    dev, test = ({s for s, _, _ in edits_of(load(mquake.files[part]).records)} for part in ("dev", "test"))
    assert dev
    assert test
    assert not dev & test


def test_edits_of_one_part_never_contradict_each_other(mquake) -> None:
    for path in mquake.files.values():
        records = load(path).records
        new: dict[tuple[str, str], str] = {}
        for subject, relation, target in edits_of(records):
            assert new.setdefault((subject, relation), target) == target
        rested = {t for record in records for t in record.new_triples if t not in record.edit_triples}
        assert not {(subject, relation) for subject, relation, _ in rested} & new.keys()


def test_chains_follow_known_facts_except_where_they_are_edited(book, chains) -> None:
    facts = {(fact.subject, fact.relation, fact.object) for fact in book.facts}
    for record in chains:
        assert set(record.triples) <= facts
        assert set(record.new_triples) - facts == set(record.edit_triples), "each edit changes something"
        for triples in (record.triples, record.new_triples):
            assert all(one[2] == then[0] for one, then in zip(triples, triples[1:], strict=False))
            nodes = [triples[0][0], *(triple[2] for triple in triples)]
            assert len(set(nodes)) == len(nodes)
        assert record.triples[0][0] == record.new_triples[0][0]
        path = [relation for _, relation, _ in record.triples]
        assert path == [relation for _, relation, _ in record.new_triples]
        assert book.text.composable(path)
        assert record.new_answer != record.answer
        assert record.new_answer == book.labels[record.new_triples[-1][2]]


def test_edits_name_the_fact_they_replace(book, chains) -> None:
    known = {(fact.subject, fact.relation): fact.object for fact in book.facts}
    for record in chains:
        for rewrite, position in zip(record.rewrites, record.edited, strict=True):
            triple = (rewrite.subject_id, rewrite.relation_id, rewrite.target_new_id)
            assert record.new_triples[position] == triple
            assert known[triple[:2]] == rewrite.target_true_id
            assert rewrite.target_true == book.labels[rewrite.target_true_id] != rewrite.target_new
            assert triple[2] in {fact.object for fact in book.of_relation[triple[1]]}
            assert book.text[triple[1]].single
            assert rewrite.prompt == book.text[triple[1]].cloze[0]


def test_questions_are_in_wordings_that_only_scoring_uses(book, chains) -> None:
    for record in chains:
        path, subject = [relation for _, relation, _ in record.triples], book.labels[record.triples[0][0]]
        allowed = {
            wording.replace("{}", subject) for phrase in (0, 1) for wording in book.text.held_out(path, phrase=phrase)
        }
        assert len(set(record.questions)) == 3
        assert set(record.questions) <= allowed
        edited = {triple[:2] for triple in record.edit_triples}
        for triples, hops in ((record.triples, record.hops), (record.new_triples, record.new_hops)):
            for triple, hop in zip(triples, hops, strict=True):
                held_out = {w.replace("{}", book.labels[triple[0]]) for w in book.text.held_out(triple[1:2])}
                assert hop.question in held_out
                assert (hop.cloze in held_out) == (triple[:2] not in edited)
                assert hop.answer == book.labels[triple[2]]


def test_the_model_answers_every_chain_and_fact_of_before(chains) -> None:
    recall, asked = RecallFilter(), []
    for record in chains[:18]:
        asked += [(question, record.answer) for question in record.questions]
        asked += [(text, hop.answer) for hop in record.hops for text in (hop.cloze, hop.question)]
        asked += [(rewrite.text, rewrite.target_true) for rewrite in record.rewrites]
        rest = [hop for position, hop in enumerate(record.new_hops) if position not in record.edited]
        asked += [(text, hop.answer) for hop in rest for text in (hop.cloze, hop.question)]
    assert all(exact_answers(recall.model, recall.tokenizer, asked))


def test_the_layout_is_that_of_the_original_file(mquake, real) -> None:
    original = json.loads((real / "mquake" / "MQuAKE-CF-3k-v2.sample6.json").read_text(encoding="utf-8"))[0]
    for path in mquake.files.values():
        for record in json.loads(Path(path).read_text(encoding="utf-8")):
            assert record.keys() == original.keys()
            assert record["orig"].keys() == original["orig"].keys()
            shapes = [keys_of(part["requested_rewrite"]) for part in (record, original)]
            assert shapes[0] == shapes[1]
            assert record["single_hops"][0].keys() == original["single_hops"][0].keys()
            assert record["orig"]["edit_triples_idx"] == sorted(record["orig"]["edit_triples_idx"])
