"""Made CounterFact files: edits of known facts, with neighbours, consequences and wordings that only scoring uses."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from evaluate.made.shapes import keys_of
from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.made.counterfact import PROMPTS, RECORDS, sources
from kgedit.evaluate.made.recall import RecallFilter
from kgedit.lm.scoring.exact_answers import exact_answers

# The model is asked a thousand questions: some seconds, and minutes where the machine is busy.
pytestmark = pytest.mark.timeout(900)


def about(book, prompt: str, relation: str) -> set[str]:
    """Whom a prompt in one of the relation's held-out wordings is about."""
    found = set()
    for wording in book.text.held_out((relation,)):
        before, behind = wording.split("{}")
        if prompt.startswith(before) and prompt.endswith(behind):
            found.add(prompt[len(before) : len(prompt) - len(behind)])
    return found


def test_files_load_with_nothing_left_out(counterfact) -> None:
    for part, count in {"dev": 6, "test": 12}.items():
        loaded = load(counterfact.files[part])
        assert loaded.format == "counterfact-plus"
        assert loaded.skipped == loaded.dropped == ()
        assert len(loaded.records) == counterfact.cases[part] == count
        assert sum(counterfact.classes[part].values()) == count


@pytest.mark.long  # a few records: test_files_load_with_nothing_left_out
def test_the_facts_give_as_many_records_as_planned(book) -> None:
    assert sum(RECORDS.values()) >= 1000
    for part, drafts in sources(book, 0).items():
        wanted = round(1.15 * RECORDS[part])  # the model's recall has its say later
        assert sum(1 for _ in islice(drafts, wanted)) == wanted


def test_edits_of_the_two_parts_have_different_subjects(counterfact, singles) -> None:
    dev, test = (
        {record.rewrite.subject for record in load(counterfact.files[part]).records} for part in ("dev", "test")
    )
    assert len(dev) > 3
    assert not dev & test
    edited = [(record.rewrite.subject, record.rewrite.relation_id) for record in singles]
    assert len(set(edited)) == len(edited)
    assert [record.case_id for record in singles] == list(range(18))


def test_an_edit_changes_a_known_fact_to_another_object_of_its_relation(book, singles) -> None:
    of_label = {label: entity for entity, label in book.labels.items() if entity in book.of_subject}
    for record in singles:
        rewrite, fact = record.rewrite, book.facts[record.pararel_idx]
        assert (of_label[rewrite.subject], rewrite.relation_id, rewrite.target_true_id) == fact[:3]
        assert rewrite.prompt == book.text[fact.relation].cloze[0]
        assert rewrite.target_new_id in {other.object for other in book.of_relation[fact.relation]} - {fact.object}
        assert (rewrite.target_true, rewrite.target_new) == tuple(
            book.labels[item] for item in (rewrite.target_true_id, rewrite.target_new_id)
        )


def test_prompts_are_in_wordings_that_only_scoring_uses(book, singles) -> None:
    for record in singles:
        rewrite, relation = record.rewrite, record.rewrite.relation_id
        held_out = book.text.held_out((relation,))
        assert record.paraphrases == tuple(wording.replace("{}", rewrite.subject) for wording in held_out)
        for probes, target in (
            (record.neighborhood, rewrite.target_true_id),
            (record.attributes, rewrite.target_new_id),
        ):
            assert len({probe.prompt for probe in probes}) == PROMPTS
            sharing = {book.labels[fact.subject] for fact in book.of_relation[relation] if fact.object == target}
            for probe in probes:
                named = about(book, probe.prompt, relation) & sharing
                assert named - {rewrite.subject, rewrite.target_new, rewrite.target_true}, probe.prompt
        assert len(set(record.generation)) == PROMPTS
        assert rewrite.text not in record.generation
        assert all(rewrite.subject in prompt for prompt in record.generation)


def test_portability_asks_for_a_consequence_that_moved(book, singles) -> None:
    object_of = {(fact.subject, fact.relation): fact.object for fact in book.facts}
    for record in singles:
        rewrite, asked = record.rewrite, record.portability
        moved = {
            book.labels[fact.object]: fact.relation
            for fact in book.of_subject[rewrite.target_new_id]
            if object_of.get((rewrite.target_true_id, fact.relation)) != fact.object
            and book.text.composable((rewrite.relation_id, fact.relation))
        }
        assert asked.answer in moved
        path = (rewrite.relation_id, moved[asked.answer])
        questions = [book.text.questions(path, phrase=phrase)[1] for phrase in (0, 1)]
        assert asked.question in {question.replace("{}", rewrite.subject) for question in questions}
        assert asked.relation == f"({rewrite.target_new}, {book.text[path[1]].label}, {asked.answer})"


def test_the_model_knows_what_a_record_rests_on(singles) -> None:
    recall, asked = RecallFilter(), []
    for record in singles[:9]:
        old, new = record.rewrite.target_true, record.rewrite.target_new
        asked += [(prompt, old) for prompt in (record.rewrite.text, *record.paraphrases)]
        asked += [(probe.prompt, old) for probe in record.neighborhood]
        asked += [(probe.prompt, new) for probe in record.attributes]
    assert all(exact_answers(recall.model, recall.tokenizer, asked))


def test_the_layout_is_that_of_the_original_file(counterfact, real) -> None:
    original = json.loads((real / "counterfact" / "counterfact.json").read_text(encoding="utf-8"))[0]
    plus = json.loads((real / "zsre" / "zsre_mend_eval_portability_gpt4.json").read_text(encoding="utf-8"))[0]
    for path in counterfact.files.values():
        for record in json.loads(Path(path).read_text(encoding="utf-8")):
            portability = record.pop("portability")
            assert portability.keys() - {"New Answer Alias"} == plus["portability"].keys()
            assert keys_of(record) == keys_of(original)
