"""Benchmarks about what a model was found to recall, here the bundled one, of which it is known what it recalls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluate.made.shapes import keys_of
from kgedit.editor import Editor
from kgedit.errors import DataError
from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.made.files import MadeBenchmark, make_recalled_benchmark
from kgedit.evaluate.made.mined import MinedBook, MinedFacts, fact_pool, mine
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.recall_walk import CHUNK
from kgedit.lm.scoring.right_answers import right_answers

pytestmark = pytest.mark.timeout(600)

MOST = 8 * CHUNK


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("mini", method=None)


@pytest.fixture(scope="module")
def pool(editor: Editor) -> FactPool:
    return FactPool.of("mini", editor.graph, editor.text)


@pytest.fixture(scope="module")
def mined(editor: Editor, pool: FactPool) -> MinedFacts:
    return mine(pool, editor.model, editor.tokenizer, most=MOST, seed=1)


@pytest.fixture(scope="module")
def made(mined: MinedFacts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadeBenchmark]:
    out = tmp_path_factory.mktemp("made")
    return {suite: make_recalled_benchmark(suite, out, mined, model="some") for suite in ("counterfact", "mquake")}


def test_the_walk_is_bounded_and_says_how_far_it_came(editor, pool) -> None:
    told: list[tuple[int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        told.append((done, total))

    found = mine(pool, editor.model, editor.tokenizer, most=CHUNK + 1, seed=2, progress=tell)
    assert found.asked == 2 * CHUNK, "whole chunks"
    assert len(found.wordings) <= found.once <= found.asked
    assert (0, CHUNK + 1) in told


def test_what_was_asked_is_not_asked_again(editor, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fact_pool(editor)
    first = mine(kept, editor.model, editor.tokenizer, most=CHUNK, seed=3)
    monkeypatch.setattr(FactPool, "ask", lambda *_: pytest.fail("asked again"))
    assert mine(kept, editor.model, editor.tokenizer, most=CHUNK, seed=3) == first


def test_found_facts_are_recalled_in_the_editing_prompt_and_in_another_statement(editor, pool, mined) -> None:
    assert 100 < len(mined.wordings) <= MOST
    for fact, wordings in list(mined.wordings.items())[:20]:
        statements = pool.text.prompts((fact.relation,))
        assert set(wordings) & set(statements[1:])
        asked = [
            (wording.replace("{}", fact.subject_label), fact.object_label) for wording in (statements[0], *wordings)
        ]
        assert all(right_answers(editor.model, editor.tokenizer, asked))


def test_counterfact_files_ask_only_for_recalled_facts(editor, made, mined) -> None:
    objects = {(fact.subject_label, fact.object_label) for fact in mined.wordings}
    for file in made["counterfact"].files.values():
        for record in load(file).records:
            rewrite = record.rewrite
            assert (rewrite.subject, rewrite.target_true) in objects
            asked = [(prompt, rewrite.target_true) for prompt in (rewrite.text, *record.paraphrases)]
            asked += [(probe.prompt, probe.answer) for probe in (*record.neighborhood, *record.attributes)]
            assert all(right_answers(editor.model, editor.tokenizer, asked))
            assert record.portability is not None
    assert made["counterfact"].cases["test"] > 0
    assert (made["counterfact"].model, made["counterfact"].asked) == ("some", MOST)


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
