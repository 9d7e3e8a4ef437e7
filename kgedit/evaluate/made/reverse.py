"""Edits of known facts whose objects have one subject each, asked from the object's side, in BAKE's layout."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import partial

from kgedit.evaluate.benchmarks.records import Probe
from kgedit.evaluate.benchmarks.reverse.record import ReverseQuestion, ReverseRecord
from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.counterfact import PROMPTS, EditInWords, drafts, sharing
from kgedit.evaluate.made.recall import Draft
from kgedit.mini.corpus import Fact

RECORDS = {"dev": 60, "test": 100}
MAX_PER_RELATION = 0.5  # of the records of a part


def sources(book: Book, seed: int, *, sizes: Mapping[str, int] = RECORDS) -> dict[str, Iterator[Draft]]:
    """Drafts of each part; edits of the two parts have different subjects.

    Args:
        book: The facts that the model knows.
        seed: Seed of everything drawn.
        sizes: Part -> how many records it is to have.
    """
    return {
        part: drafts(book, subjects, f"{seed} {part}", MAX_PER_RELATION * sizes[part], partial(_draft, book))
        for part, subjects in book.parts(seed).items()
        if part in sizes
    }


def _draft(book: Book, fact: Fact, number: int, rng: random.Random) -> Draft | None:
    """One record; known are the old object in every wording, and the other facts of the new one.

    None where the relation has no single inverse, or no new object has one subject. Whether the model answers the
    inverse question as it is does not count here: it is a figure of the report.
    """
    reverse = book.text.reverse(fact.relation)
    if reverse is None or not reverse.single:
        return None
    targets = [(target, had_by) for target in book.targets(fact) if (had_by := _only_subject(book, fact, target))]
    if not targets:
        return None
    target, before = rng.choice(targets)
    draft = EditInWords(book, fact, target, rng).draft(number, sharing(book, fact, fact.object, target), [], None)
    # The inverse question stands in a wording that no editing method optimises.
    wordings = (*reverse.cloze[1:], *(f"Q: {question} A:" for question in reverse.question[1:]))
    asked = ReverseQuestion(
        prompt=book.fill(rng.choice(wordings), target), answer=book.labels[fact.subject], before=book.labels[before]
    )
    inverse = book.text[fact.relation].inverse
    own = [other for other in book.of_subject[target] if other.relation not in (fact.relation, inverse)]
    kept = [
        (book.fill(rng.choice(book.wordings_of(target, other.relation)), target), book.labels[other.object])
        for other in own[:PROMPTS]
    ]
    object_facts = tuple(Probe(prompt=prompt, answers=((answer,),)) for prompt, answer in kept)
    record = ReverseRecord(**dict(draft.record), reverse=asked, object_facts=object_facts)
    return Draft(record, (*draft.known, *kept))


def _only_subject(book: Book, fact: Fact, target: str) -> str | None:
    """The one subject that a new object has so far; None where it has several, or another fact says otherwise."""
    subjects, inverse = book.subjects_of[fact.relation, target], book.text[fact.relation].inverse
    if len(subjects) != 1 or not book.apart(subjects[0], fact.subject) or not book.apart(target, fact.object):
        return None
    told = subjects[0] if inverse is None else book.object_of.get((target, inverse), subjects[0])
    return subjects[0] if told == subjects[0] else None
