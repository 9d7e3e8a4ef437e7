"""Cases: what scores an edit is not what an edit optimises, and every right answer is a known fact's object."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kgedit.errors import EditError
from kgedit.mini.cases import MEASURES, NEIGHBOURS, Casebook, MiniCase

COUNT, SEED = 60, 11


@pytest.fixture(scope="module")
def book() -> Casebook:
    return Casebook()


@pytest.fixture(scope="module")
def cases(book: Casebook) -> list[MiniCase]:
    return book.draw(COUNT, seed=SEED)


def optimised(book: Casebook, case: MiniCase) -> set[str]:
    """All that a method may put into its objective: the edit, the subject's other relations, paths of both orders."""
    text, first = book.text, case.edit.relation
    paths = [(relation,) for relation in text.texts]
    paths += [(first, second) for second in text.texts]
    return {wording.replace("{}", case.subject) for path in paths for wording in text.edit_wordings(path)}


def onward(book: Casebook, case: MiniCase) -> dict[str, dict[str, str]]:
    """Relation -> old and new answer at the end of a path over it, by the facts alone."""
    ends = {}
    for name, entity in (("old", case.edit.target_true), ("new", case.edit.target_new)):
        ends[name] = {fact.relation: fact.object for fact in book.facts if fact.subject == entity}
    return ends


def reads(book: Casebook, case: MiniCase, prompt: str) -> Iterator[tuple[str, str]]:
    """Which (subject id, relation) a one-hop prompt is about."""
    for relation, texts in book.text.texts.items():
        for wording in (*texts.cloze, *(f"Q: {question} A:" for question in texts.question)):
            before, behind = wording.split("{}")
            if prompt.startswith(before) and prompt.endswith(behind):
                label = prompt[len(before) : len(prompt) - len(behind)]
                yield from ((q, relation) for q in book.of_subject if book.labels[q] == label)


def test_as_many_different_cases_as_asked_for(cases: list[MiniCase]) -> None:
    assert len(cases) == COUNT
    assert len({(case.edit.subject, case.edit.relation) for case in cases}) == COUNT
    assert len({case.edit.relation for case in cases}) >= 5, "one relation would say little"
    for case in cases:
        assert case.probes.keys() == set(MEASURES)
        assert all(case.probes[name] for name in MEASURES), "a case without probes of a measure measures nothing"


def test_no_prompt_counts_twice(cases: list[MiniCase]) -> None:
    for case in cases:
        prompts = [prompt for pairs in case.probes.values() for prompt, _ in pairs]
        assert len(set(prompts)) == len(prompts), prompts


def test_one_seed_gives_the_same_cases_and_another_gives_others(book: Casebook, cases: list[MiniCase]) -> None:
    assert Casebook().draw(COUNT, seed=SEED) == cases
    assert book.draw(10, seed=SEED) == cases[:10], "more edits must not change the first ones"
    other = {(case.edit.subject, case.edit.relation) for case in book.draw(COUNT, seed=SEED + 1)}
    assert len(other & {(case.edit.subject, case.edit.relation) for case in cases}) < COUNT / 4


def test_no_scoring_prompt_is_one_that_methods_optimise(book: Casebook, cases: list[MiniCase]) -> None:
    for case in cases:
        training = optimised(book, case)
        ((prompt, _),) = case.probes["efficacy"]
        assert prompt == book.text.edit_wordings((case.edit.relation,))[0].replace("{}", case.subject)
        for name in set(MEASURES) - {"efficacy"}:
            assert not training & {asked for asked, _ in case.probes[name]}, name


def test_an_edit_changes_a_known_fact_to_another_object_of_its_relation(book: Casebook, cases: list[MiniCase]) -> None:
    known = {(fact.subject, fact.relation): fact.object for fact in book.facts}
    for case in cases:
        edit = case.edit
        assert known[edit.subject, edit.relation] == edit.target_true
        assert edit.target_new not in (edit.target_true, edit.subject)
        assert edit.target_new in {fact.object for fact in book.of_relation[edit.relation]}
        assert case.target_new == book.labels[edit.target_new] != case.target_true == book.labels[edit.target_true]
        assert book.text[edit.relation].single


def test_efficacy_and_paraphrase_ask_for_the_new_object(cases: list[MiniCase]) -> None:
    for case in cases:
        for name in ("efficacy", "paraphrase"):
            assert {answer for _, answer in case.probes[name]} == {case.target_new}
            assert all(case.subject in prompt for prompt, _ in case.probes[name])


def test_portability_asks_for_consequences_that_moved(book: Casebook, cases: list[MiniCase]) -> None:
    """Each prompt is a composed one, and its answer is the object's own fact, unlike the one before the edit."""
    for case in cases:
        ends = onward(book, case)
        moved = {r: o for r, o in ends["new"].items() if ends["old"].get(r) != o}
        expected = {
            (wording.replace("{}", case.subject), book.labels[moved[relation]])
            for relation in moved
            if book.text.composable((case.edit.relation, relation))
            for phrase in (0, 1)
            for wording in book.text.held_out((case.edit.relation, relation), phrase=phrase)
        }
        assert set(case.probes["portability"]) <= expected
        stayed = {
            wording.replace("{}", case.subject)
            for relation, answer in ends["old"].items()
            if ends["new"].get(relation) == answer and book.text.composable((case.edit.relation, relation))
            for phrase in (0, 1)
            for wording in book.text.held_out((case.edit.relation, relation), phrase=phrase)
        }
        assert not stayed & {prompt for prompt, _ in case.probes["portability"]}


def test_specificity_asks_for_facts_that_the_edit_leaves_alone(book: Casebook, cases: list[MiniCase]) -> None:
    known = {(fact.subject, fact.relation): book.labels[fact.object] for fact in book.facts}
    for case in cases:
        edit = case.edit
        for prompt, answer in case.probes["subject_specificity"]:
            about = [(q, r) for q, r in reads(book, case, prompt) if known.get((q, r)) == answer]
            assert any(q == edit.subject and r != edit.relation for q, r in about), prompt
        for prompt, answer in case.probes["neighborhood"]:
            about = [(q, r) for q, r in reads(book, case, prompt) if known.get((q, r)) == answer]
            assert any(q not in (edit.subject, edit.target_new) and r == edit.relation for q, r in about), prompt
        assert len(case.probes["neighborhood"]) <= NEIGHBOURS


def test_neighbours_share_the_old_object_as_far_as_there_are_any(book: Casebook, cases: list[MiniCase]) -> None:
    for case in cases:
        edit = case.edit
        sharing = sum(
            fact.object == edit.target_true and fact.subject not in (edit.subject, edit.target_new)
            for fact in book.of_relation[edit.relation]
        )
        asked = [answer == case.target_true for _, answer in case.probes["neighborhood"]]
        assert sum(asked) == min(sharing, NEIGHBOURS)
        assert asked == sorted(asked, reverse=True)


def test_a_named_edit(book: Casebook) -> None:
    case = book.named("Q937", "P27", "Q142")
    assert (case.subject, case.target_true, case.target_new) == (
        "Albert Einstein",
        "United States of America",
        "France",
    )
    assert case == book.named("Q937", "P27", "Q142")
    assert "Paris" in {answer for _, answer in case.probes["portability"]}


def test_a_fact_that_the_model_does_not_know_cannot_be_measured(book: Casebook) -> None:
    with pytest.raises(EditError, match=r"\(Q937, P36\).*facts\.tsv"):
        book.named("Q937", "P36", "Q142")
