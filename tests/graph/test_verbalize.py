"""Relations as text: the data file is sound, and paths read as English."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import ValidationError

from kg_cache import snapshot
from kgedit.errors import UnknownRelationText
from kgedit.graph.verbalize import RelationText, Verbalizer

TEXT = Verbalizer.bundled()
# Inverse and sequence properties that no item of the snapshot has.
ABSENT = {"P155", "P156", "P355", "P527", "P800", "P1365", "P1366", "P1830"}
EVERY = pytest.mark.parametrize("relation", TEXT.texts)


def wordings(relation: str) -> list[str]:
    text = TEXT[relation]
    return [*text.cloze, *text.question, *text.phrase]


def test_there_are_enough_relations_and_all_are_in_the_snapshot() -> None:
    known = {row[0]: row[1] for row in snapshot.rows("relations")}
    assert len(TEXT.texts) >= 24
    assert set(TEXT.texts) - set(known) == ABSENT
    # Wikidata's label of P131 carries a spelling mistake on some days.
    different = {relation for relation, text in TEXT.texts.items() if text.label != known.get(relation, text.label)}
    assert different <= {"P131"}


def test_every_relation_that_has_wordings_has_facts() -> None:
    used = {row[1] for row in snapshot.rows("triples")}
    assert set(TEXT.texts) - used == ABSENT


def test_a_property_without_wordings_is_named_where_the_snapshot_has_it() -> None:
    known = {row[0]: row[1] for row in snapshot.rows("relations")}
    assert set(TEXT.named) <= set(known) - set(TEXT.texts)
    assert len(TEXT.named) >= 40
    # A graph of today has another label for some than the snapshot.
    assert all(known[relation] in (label, *also) for relation, (label, also) in TEXT.named.items())


@pytest.mark.parametrize("relation", TEXT.called)
def test_an_alias_is_neither_another_propertys_label_nor_a_name_of_the_inverse(relation) -> None:
    labels = {row[1]: row[0] for row in snapshot.rows("relations")} | {name[0]: id for id, name in TEXT.called.items()}
    aliases = TEXT.called[relation][1]
    assert len({alias.casefold() for alias in aliases}) == len(aliases)
    assert [alias for alias in aliases if labels.get(alias, relation) != relation] == []
    inverse = TEXT.texts[relation].inverse if relation in TEXT.texts else None
    if inverse not in (None, relation):
        assert set(aliases).isdisjoint(TEXT[inverse].aliases)


@EVERY
def test_wordings_are_ready_for_an_object_behind_one_space(relation) -> None:
    for wording in wordings(relation):
        assert wording == wording.strip()
        assert "  " not in wording
        assert wording.count("{}") == 1
        assert "{" not in wording.replace("{}", "")
    for cloze in TEXT[relation].cloze:
        assert not cloze.endswith((".", "?", "!", ":"))
        assert not cloze.endswith("{}"), "the object would follow the subject without a verb"
    for question in TEXT[relation].question:
        assert question.endswith("?")
    for phrase in TEXT[relation].phrase:
        assert phrase[0].islower()
        assert not phrase.startswith("{}")
    assert TEXT[relation].phrase[0].startswith("the ")


@EVERY
def test_wordings_of_a_relation_differ(relation) -> None:
    assert len(set(wordings(relation))) == len(wordings(relation))


def test_no_two_relations_share_a_wording() -> None:
    """Otherwise an edit of one would be an edit of the other."""
    seen: dict[str, str] = {}
    for relation in TEXT.texts:
        for wording in wordings(relation):
            assert seen.setdefault(wording, relation) == relation


@EVERY
def test_the_inverse_is_a_relation_and_says_so_too(relation) -> None:
    inverse = TEXT[relation].inverse
    if inverse is None:
        return
    assert TEXT[inverse].inverse == relation or (relation in ("P22", "P25") and inverse == "P40")
    assert TEXT[relation].reverse is None, "the inverse property says it already"
    assert not TEXT.composable((relation, inverse))
    assert not TEXT.composable((inverse, relation))


@EVERY
def test_a_fact_told_from_its_objects_side_reads_as_one_told_from_the_subjects(relation) -> None:
    reverse = TEXT.reverse(relation)
    if reverse is None:
        return
    own = set(wordings(relation))
    for text in (*reverse.cloze, *reverse.question):
        assert text == text.strip()
        assert text.endswith("?") is (text in reverse.question)
        assert text not in own or TEXT[relation].inverse == relation, "it would be asked about the subject"
    assert not any(cloze.endswith(("{}", ".", ":")) for cloze in reverse.cloze)


@pytest.mark.parametrize(
    ("relation", "statement", "single"),
    [
        ("P36", "{} is the capital of", True),
        ("P26", "{} is married to", True),
        ("P6", "{} is the head of government of", True),
        ("P22", "{} is the parent of", False),
        ("P112", "{} is the founder of", False),
        ("P749", "{} is the parent company of", False),
        ("P27", None, None),
    ],
)
def test_whether_an_object_has_one_such_subject_is_known(relation, statement, single) -> None:
    reverse = TEXT.reverse(relation)
    assert (reverse and (reverse.single, statement in reverse.cloze)) == (None if single is None else (single, True))
    assert TEXT.reverse("P54") is TEXT.reverse(None) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("P27",), "{} is a citizen of"),
        (("P27", "P36"), "The capital of the country of citizenship of {} is"),
        (("P26", "P19"), "The spouse of {} was born in"),
        (("P19", "P17", "P37"), "The official language of the country of the place of birth of {} is"),
        (
            ("P50", "P27", "P36", "P6"),
            "The head of government of the capital of the country of citizenship of the author of {} is",
        ),
        (
            ("P50", "P26", "P19", "P17"),
            "The place of birth of the spouse of the author of {} is located in the country of",
        ),
    ],
)
def test_paths_of_one_to_four_hops(path, expected) -> None:
    assert TEXT.prompts(path)[0] == expected
    assert len(TEXT.prompts(path)) == len(TEXT[path[-1]].cloze)
    assert all(prompt.count("{}") == 1 for prompt in TEXT.prompts(path))


def test_the_other_noun_phrases_nest_as_well() -> None:
    assert TEXT.prompts(("P19", "P17", "P36"), phrase=1)[0] == (
        "The capital of the nation in which the town where {} was born lies is"
    )
    assert TEXT.prompts(("P19", "P17"), phrase=2) == TEXT.prompts(("P19", "P17"), phrase=0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("P27",), "Q: Which country is {} a citizen of? A:"),
        (("P27", "P36"), "Q: What is the capital of the country of citizenship of {}? A:"),
        (("P50", "P27", "P38"), "Q: What is the currency of the country of citizenship of the author of {}? A:"),
    ],
)
def test_questions(path, expected) -> None:
    assert TEXT.questions(path)[0] == expected
    assert len(TEXT.questions(path)) == len(TEXT[path[-1]].question)


@EVERY
def test_what_is_optimised_is_never_what_is_scored(relation) -> None:
    for path in ((relation,), ("P27", relation), ("P26", "P27", relation)):
        learned, scored = TEXT.edit_wordings(path), TEXT.held_out(path)
        assert learned == (TEXT.prompts(path)[0], TEXT.questions(path)[0])
        assert set(learned) | set(scored) == {*TEXT.prompts(path), *TEXT.questions(path)}
        assert set(learned).isdisjoint(scored)
        assert len(scored) >= 4
        assert set(learned).isdisjoint(TEXT.held_out(path, phrase=1))


def test_a_name_with_braces_stays_as_it_is() -> None:
    (phrase, *_) = TEXT["P27"].phrase
    assert phrase.replace("{}", "X{}Y", 1) == "the country of citizenship of X{}Y"
    assert TEXT.prompts(("P27", "P36"))[0].replace("{}", "A {} B") == (
        "The capital of the country of citizenship of A {} B is"
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (("P27", "P36"), True),
        (("P27",), True),
        (("P26", "P26"), False),
        (("P22", "P40"), False),
        (("P40", "P25"), False),
        (("P36", "P1376"), False),
        (("P361", "P527"), False),
        (("P27", "P54"), False),
        (("P26", "P19", "P17", "P36"), True),
        (("P27", "P26", "P26"), False),
    ],
)
def test_no_step_may_undo_the_one_before_or_lack_words(path, allowed) -> None:
    assert TEXT.composable(path) is allowed
    assert TEXT.composable(iter(path)) is allowed


def test_every_allowed_pair_reads_as_one_sentence_with_one_slot() -> None:
    for first in TEXT.texts:
        for then in TEXT.texts:
            if not TEXT.composable((first, then)):
                assert TEXT.are_inverse(first, then)
                continue
            for prompt in TEXT.prompts((first, then)):
                words = prompt.split()
                assert words[0][0].isupper()
                assert all(one != other for one, other in pairwise(words)), prompt


def test_a_relation_without_wordings_says_what_to_do() -> None:
    with pytest.raises(UnknownRelationText, match=r"P54.*pass a prompt.*relations\.toml.*P6, P17"):
        TEXT["P54"]
    with pytest.raises(UnknownRelationText):
        TEXT.prompts(("P27", "P54"))
    assert "P54" not in TEXT
    assert 36 not in TEXT


GOOD = {
    "label": "capital",
    "cloze": ["a {}", "b {}", "c {}", "d {}"],
    "question": ["a {}?", "b {}?"],
    "phrase": ["the a of {}"],
    "single": True,
}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cloze": ["a {}", "b {}", "c {}"]}, "at least 4"),
        ({"question": ["a {}?"]}, "at least 2"),
        ({"phrase": []}, "at least 1"),
        ({"cloze": ["a {}", "b {}", "c {}", "d"]}, "exactly one"),
        ({"phrase": ["the {} of {}"]}, "exactly one"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_broken_entry_is_refused(wrong, words) -> None:
    RelationText.model_validate(GOOD)
    with pytest.raises(ValidationError, match=words):
        RelationText.model_validate(GOOD | wrong)
