"""CounterFact records about facts that a model knows, with a portability question where the facts give one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord
from kgedit.evaluate.benchmarks.records import Portability, Probe, Rewrite
from kgedit.evaluate.made.asking import Question
from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.recall import Draft
from kgedit.mini.corpus import Fact

RECORDS = {"dev": 360, "test": 700}
PROMPTS = 10  # neighbourhood, attribute and generation prompts of a record, as in the original
LEAST_SHARING = 2  # other subjects that have the old object, and that have the new one
MAX_PER_RELATION = 0.3  # of the records of a part; places of birth would otherwise be nearly half of them


Onward = tuple[tuple[str, str], str]  # path of two relations through the new object, and the item that it leads to


def sources(
    book: Book, seed: int, *, sizes: Mapping[str, int] = RECORDS, portable: bool = True
) -> dict[str, Iterator[Draft]]:
    """Drafts of each part; edits of the two parts have different subjects.

    Args:
        book: The facts that the model knows.
        seed: Seed of everything drawn.
        sizes: Part -> how many records it is to have.
        portable: Only records with a portability question; without, one is added where the facts give it.
    """
    return {
        part: drafts(
            book, subjects, f"{seed} {part}", MAX_PER_RELATION * sizes[part], partial(_draft, book, portable=portable)
        )
        for part, subjects in book.parts(seed).items()
        if part in sizes
    }


def drafts(
    book: Book,
    subjects: frozenset[str],
    seed: str,
    most: float,
    draft_of: Callable[[Fact, int, random.Random], Draft | None],
) -> Iterator[Draft]:
    """Drafts about facts of some subjects that have one object, in random order.

    Args:
        book: The facts that the model knows.
        subjects: Whose facts.
        seed: Of the order, and of what the drafts draw.
        most: The most drafts of one relation.
        draft_of: Makes the draft of a fact, given its number in the book; None where the facts do not do.
    """
    rng = random.Random(seed)
    taken: Counter[str] = Counter()
    numbered = [(number, fact) for number, fact in enumerate(book.facts) if fact.subject in subjects]
    for number, fact in rng.sample(numbered, len(numbered)):
        if book.text[fact.relation].single and taken[fact.relation] < most and (draft := draft_of(fact, number, rng)):
            taken[fact.relation] += 1
            yield draft


def _draft(book: Book, fact: Fact, number: int, rng: random.Random, *, portable: bool) -> Draft | None:
    """One record, and all that the unedited model must know for it to mean something; None if the facts do not do.

    Known are the old object in the edit's wording and every paraphrase, the answers of the neighbourhood and
    attribute prompts, the fact of the new object that the portability question leads to, and the same question's
    answer before the edit.
    """
    targets = book.targets(fact)
    second_best: Draft | None = None
    # Take the first target, in random order, that has enough neighbours and a second hop whose answer changes.
    for target in rng.sample(targets, len(targets)):
        neighbours = sharing(book, fact, fact.object, target)
        having = sharing(book, fact, target, fact.object)
        if min(len(neighbours), len(having)) < LEAST_SHARING or not book.apart(target, fact.object):
            continue
        record = EditInWords(book, fact, target, rng)
        onward = [pair for pair in book.onward(fact, target) if (fact.object, pair[0][1]) in book.object_of]
        onward = [pair for pair in onward if book.apart(pair[1], book.object_of[fact.object, pair[0][1]])]
        if onward:
            return record.draft(number, neighbours, having, rng.choice(onward))
        # Else the first that has the neighbours alone, if that will do.
        if second_best is None and not portable:
            second_best = record.draft(number, neighbours, having, None)
    return second_best


def sharing(book: Book, fact: Fact, obj: str, other: str) -> list[str]:
    """Other subjects whose object of the same relation is this one."""
    return [subject for subject in book.subjects_of[fact.relation, obj] if subject not in (fact.subject, other)]


class EditInWords:
    """One edit put into words; only the rewrite has a wording that editing methods may use."""

    def __init__(self, book: Book, fact: Fact, target: str, rng: random.Random) -> None:
        """Take a known fact and its new object."""
        self.book, self.fact, self.target, self.rng = book, fact, target, rng

    def draft(self, number: int, neighbours: Sequence[str], having: Sequence[str], onward: Onward | None) -> Draft:
        """The record with prompts about those who share the old object and those who have the new one."""
        book, fact = self.book, self.fact
        old, new = book.labels[fact.object], book.labels[self.target]
        rewrite = Rewrite(
            subject=book.labels[fact.subject],
            prompt=book.text[fact.relation].cloze[0],
            target_new=new,
            target_true=old,
            subject_id=fact.subject,
            relation_id=fact.relation,
            target_new_id=self.target,
            target_true_id=fact.object,
        )
        paraphrases = [book.fill(text, fact.subject) for text in book.wordings_of(fact.subject, fact.relation)]
        neighborhood, attributes = self._prompts(neighbours), self._prompts(having)
        portability, premises = (None, []) if onward is None else self._portability(onward)
        record = CounterFactRecord(
            case_id=0,
            rewrites=(rewrite,),
            paraphrases=tuple(paraphrases),
            neighborhood=tuple(Probe(prompt=prompt, answers=((old,),)) for prompt in neighborhood),
            attributes=tuple(Probe(prompt=prompt, answers=((new,),)) for prompt in attributes),
            generation=self._generation(onward),
            portability=portability,
            pararel_idx=number,
        )
        known = [(prompt, old) for prompt in (rewrite.text, *paraphrases, *neighborhood)]
        known += [(prompt, new) for prompt in attributes]
        return Draft(record, tuple(dict.fromkeys((*known, *premises))))

    def _prompts(self, subjects: Sequence[str]) -> list[str]:
        """Prompts about these subjects: first each in one wording, then each in another, up to `PROMPTS`."""
        book, rng = self.book, self.rng
        wordings = {subject: book.wordings_of(subject, self.fact.relation) for subject in subjects}
        shuffled = [
            (subject, rng.sample(own, len(own)))
            for subject in rng.sample(subjects, len(subjects))
            if (own := wordings[subject])
        ]
        most = max(map(len, wordings.values()), default=0)
        turns = (book.fill(own[turn], subject) for turn in range(most) for subject, own in shuffled if turn < len(own))
        return list(islice(turns, PROMPTS))

    def _portability(self, onward: Onward) -> tuple[Portability, list[Question]]:
        """The question one step beyond the new object, and what the model must know for it."""
        book, (path, answer) = self.book, onward
        template = self.rng.choice(book.questions(path) + book.questions(path, phrase=1))
        question, labels = book.fill(template, self.fact.subject), book.labels
        old = book.object_of[self.fact.object, path[1]]
        known = [(question, labels[old])]
        known += [
            (book.fill(wording, self.target), labels[answer])
            for wording in (book.text[path[1]].cloze[0], book.questions(path[1:])[0])
        ]
        relation = f"({labels[self.target]}, {book.text[path[1]].label}, {labels[answer]})"
        return Portability(
            question=question, answer=labels[answer], aliases=book.other_names(answer), relation=relation
        ), known

    def _generation(self, onward: Onward | None) -> tuple[str, ...]:
        """Statements about the subject that the edited fact or what follows from it would complete."""
        book = self.book
        templates = list(book.statements((self.fact.relation,)))
        if onward is not None:
            templates += [*book.statements(onward[0]), *book.statements(onward[0], phrase=1)]
        drawn = self.rng.sample(templates, min(PROMPTS, len(templates)))
        return tuple(book.fill(template, self.fact.subject) for template in drawn)
