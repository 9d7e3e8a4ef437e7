"""Counterfactual chains over a handful of facts, where the only right ones can be written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.chains import MAX_USES, ChainEdits, Counterfactual, all_chains

EINSTEIN, CURIE, FRANCE, GERMANY, PARIS, BERLIN, EUROPE = "Q937", "Q7186", "Q142", "Q183", "Q90", "Q64", "Q46"
FACTS = [
    (EINSTEIN, "P27", GERMANY),
    (CURIE, "P27", FRANCE),
    (FRANCE, "P36", PARIS),
    (GERMANY, "P36", BERLIN),
    (FRANCE, "P30", EUROPE),
    (GERMANY, "P30", EUROPE),
]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    (tmp_path / "facts.tsv").write_text("".join(f"{s}\t{r}\t{o}\t1\n" for s, r, o in FACTS), encoding="utf-8")
    return Book(tmp_path)


def drawn(book: Book, edits: int, *, subjects: set[str]) -> set[Counterfactual]:
    """All that many seeds give: which facts may be edited is drawn."""
    chains, found = all_chains(book, (2,)), set[Counterfactual]()
    for seed in range(40):
        found |= set(ChainEdits(book, chains, frozenset(subjects), str(seed)).draw(2, edits))
    return found


def test_each_later_fact_starts_from_the_new_object(book) -> None:
    einstein = (("P27", "P36"), (EINSTEIN, GERMANY, BERLIN))
    curie = (("P27", "P36"), (CURIE, FRANCE, PARIS))
    assert drawn(book, 1, subjects={EINSTEIN, CURIE, FRANCE, GERMANY}) == {
        Counterfactual(*einstein, (EINSTEIN, FRANCE, PARIS), (0,)),
        Counterfactual(*einstein, (EINSTEIN, GERMANY, PARIS), (1,)),
        Counterfactual(*curie, (CURIE, GERMANY, BERLIN), (0,)),
        Counterfactual(*curie, (CURIE, FRANCE, BERLIN), (1,)),
    }, "Europe stays Europe, whatever the country"


def test_edits_that_lead_back_to_the_old_answer_are_none(book) -> None:
    assert drawn(book, 2, subjects={EINSTEIN, CURIE, FRANCE, GERMANY}) == set()


def test_only_facts_of_the_parts_own_subjects_are_edited(book) -> None:
    found = drawn(book, 1, subjects={EINSTEIN})
    assert {(case.after[position], position) for case in found for position in case.edited} == {(EINSTEIN, 0)}


def test_names_that_hold_each_other_are_not_apart(book) -> None:
    assert not book.apart("Q30", "Q30")
    assert book.apart(FRANCE, GERMANY)
    washington, state = "Q61", "Q1223"
    assert book.labels[washington].startswith(book.labels[state])
    assert not book.apart(washington, state)
    assert not book.apart(state, washington)


def test_aliases_that_are_codes_or_common_words_are_left_out(book) -> None:
    names = book.other_names("Q652")  # Italian, whose aliases have "it" and "ISO 639:it"
    assert names
    assert "it" not in names
    assert not [name for name in names if ":" in name]


def test_a_famous_fact_is_not_edited_again_and_again() -> None:
    book = Book()
    edits = ChainEdits(book, all_chains(book, (2,)), frozenset(book.of_subject), "0")
    uses: dict[tuple[str, str], int] = {}
    for case, _ in zip(edits.draw(2, 1), range(400), strict=False):
        fact = case.after[case.edited[0]], case.relations[case.edited[0]]
        uses[fact] = uses.get(fact, 0) + 1
    assert max(uses.values()) <= MAX_USES
