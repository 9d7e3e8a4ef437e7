"""Benchmarks about what a model was found to recall; the walk over the bundled model, the files over facts by hand."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from evaluate.made.shapes import keys_of
from kgedit.editor import Editor
from kgedit.errors import DataError
from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.made import mined as mined_module
from kgedit.evaluate.made.counterfact import MAX_PER_RELATION
from kgedit.evaluate.made.files import MadeBenchmark, make_recalled_benchmark
from kgedit.evaluate.made.mined import MinedBook, MinedFacts, fact_pool, mine
from kgedit.ingest.decide.recall_walk import CHUNK, KnownFact
from kgedit.lm.scoring.right_answers import right_answers
from kgedit.mini.cases import Casebook
from kgedit.text.template import fill

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("mini", method=None)


@pytest.fixture(scope="module")
def mined() -> MinedFacts:
    """All facts of the bundled model, as if each was recalled in its second statement and its second question only."""
    book, wordings = Casebook(), {}
    for fact in book.facts:
        if (text := book.text[fact.relation]).single:
            known = KnownFact(*fact[:3], book.labels[fact.subject], book.labels[fact.object])
            wordings[known] = (book.text.prompts((fact.relation,))[1], f"Q: {text.question[1]} A:")
    return MinedFacts(wordings, asked=len(wordings), once=len(wordings))


@pytest.fixture(scope="module")
def made(mined: MinedFacts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadeBenchmark]:
    out = tmp_path_factory.mktemp("made")
    return {suite: make_recalled_benchmark(suite, out, mined, model="some") for suite in ("counterfact", "mquake")}


def test_the_walk_is_bounded_says_how_far_it_came_and_is_not_walked_twice(
    editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        told.append((done, total))

    pool = fact_pool(editor)
    first = mine(pool, editor.model, editor.tokenizer, most=2 * CHUNK, seed=2, progress=tell)
    assert first.asked == 2 * CHUNK
    assert 0 < len(first.wordings) <= first.once <= first.asked
    assert told[:2] == [(0, 2 * CHUNK), (CHUNK, 2 * CHUNK)]
    for fact, wordings in list(first.wordings.items())[:10]:
        statements = pool.text.prompts((fact.relation,))
        assert set(wordings) & set(statements[1:])
        prompts = [fill(wording, fact.subject_label) for wording in (statements[0], *wordings)]
        assert all(right_answers(editor.model, editor.tokenizer, [(prompt, fact.object_label) for prompt in prompts]))
    monkeypatch.setattr(mined_module, "ask_all", lambda *_: pytest.fail("asked again"))
    assert mine(pool, editor.model, editor.tokenizer, most=2 * CHUNK, seed=2) == first
    assert mine(pool, editor.model, editor.tokenizer, most=CHUNK, seed=2).wordings.items() <= first.wordings.items()


def test_counterfact_files_ask_only_in_wordings_in_which_a_fact_is_recalled(made, mined) -> None:
    prompts = defaultdict(set)
    for fact, wordings in mined.wordings.items():
        prompts[fact.object_label] |= {fill(wording, fact.subject_label) for wording in wordings}
    records = [record for file in made["counterfact"].files.values() for record in load(file).records]
    assert made["counterfact"].cases == {"dev": 60, "test": 120}
    for record in records:
        old, new = record.rewrite.target_true, record.rewrite.target_new
        assert {*record.paraphrases, *(probe.prompt for probe in record.neighborhood)} <= prompts[old]
        assert {probe.prompt for probe in record.attributes} <= prompts[new]
        assert record.paraphrases
        assert record.neighborhood
    assert any(record.portability for record in records)
    assert (made["counterfact"].model, made["counterfact"].recalled) == ("some", len(mined.wordings))


def test_a_record_needs_no_portability_question_and_says_so_with_null(mined, tmp_path: Path) -> None:
    """Facts of one relation lead nowhere; with a second one, the records that can have the question have it."""
    known = {fact: wordings for fact, wordings in mined.wordings.items() if fact.relation == "P27"}
    alone = make_recalled_benchmark("counterfact", tmp_path / "alone", MinedFacts(known), model="some")
    loaded = load(alone.files["test"])
    assert (loaded.format, len(loaded.records)) == ("counterfact", alone.cases["test"])
    assert loaded.records
    assert all(record.portability is None for record in loaded.records)
    assert "portability" not in json.loads(Path(alone.files["test"]).read_text())[0]
    some = {fact: own for fact, own in mined.wordings.items() if fact.relation == "P36" and fact.object < "Q2"}
    mixed = make_recalled_benchmark("counterfact", tmp_path / "mixed", MinedFacts(known | some), model="some")
    loaded = load(mixed.files["test"])
    assert loaded.skipped == loaded.dropped == ()
    have = [record.portability is not None for record in loaded.records]
    assert any(have)
    assert not all(have)
    raw = json.loads(Path(mixed.files["test"]).read_text())
    assert [record["portability"] is not None for record in raw] == have


def test_no_relation_has_more_than_its_share_of_the_records(made) -> None:
    for part, classes in made["counterfact"].classes.items():
        assert max(classes.values()) <= MAX_PER_RELATION * made["counterfact"].cases[part]


def test_mquake_chains_are_of_recalled_facts_before_and_after_the_edits(made, mined) -> None:
    facts = {(fact.subject, fact.relation): fact.object for fact in mined.wordings}
    records = [record for file in made["mquake"].files.values() for record in load(file).records]
    assert records
    for record in records:
        assert all(facts[subject, relation] == obj for subject, relation, obj in record.triples)
        edits = set(record.edit_triples)
        assert all(triple in edits or facts[triple[:2]] == triple[2] for triple in record.new_triples)


def test_files_have_the_layout_of_those_about_the_bundled_model(made, counterfact, mquake) -> None:
    for suite, other in (("counterfact", counterfact), ("mquake", mquake)):
        ours, theirs = (json.loads(Path(one.files["test"]).read_text())[0] for one in (made[suite], other))
        assert set(keys_of(ours)) == set(keys_of(theirs))


def test_facts_that_give_no_case_are_an_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="recalls 0 of the 64 facts"):
        make_recalled_benchmark("mquake", tmp_path, MinedFacts(asked=64), model="some")
    assert list(tmp_path.iterdir()) == []
    assert MinedBook(MinedFacts()).facts == []
