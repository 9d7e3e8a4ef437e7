"""MQuAKE cases about facts that the bundled model knows: two to four hops, one to four of them edited."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from kgedit.evaluate.benchmarks.mquake.record import Hop, MQuakeRecord, Triple
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.chains import ChainEdits, Counterfactual, all_chains
from kgedit.evaluate.made.recall import Draft

HOPS = (2, 3, 4)
PER_HOPS = {"dev": 108, "test": 204}

Slot = tuple[str, int, int]  # part, hops, edits


def slots(part: str, per_hops: int) -> list[Slot]:
    """The classes of a part's cases in the order of its file: each beginning of the file is balanced.

    Args:
        part: "dev" or "test".
        per_hops: Cases of each number of hops; the numbers of edits take turns.
    """
    return [(part, hops, hops - number % hops) for number in range(per_hops) for hops in HOPS]


def sources(book: Book, seed: int) -> dict[Slot, Iterator[Draft]]:
    """Drafts of each class, without end as far as the chains go; edits of the two parts have different subjects."""
    chains = all_chains(book, HOPS)
    drafts: dict[Slot, Iterator[Draft]] = {}
    for part, subjects in book.parts(seed).items():
        edits = ChainEdits(book, chains, subjects, f"{seed} {part}")
        for slot in slots(part, max(HOPS)):
            drafts[slot] = _drafts(book, edits, slot, seed)
    return drafts


def _drafts(book: Book, edits: ChainEdits, slot: Slot, seed: int) -> Iterator[Draft]:
    rng = random.Random(f"{seed} wordings {slot}")
    _, hops, count = slot
    for chain in edits.draw(hops, count):
        case = _Case(book, chain, rng)
        if not case.gives_away():
            yield case.draft()


class _Case:
    """One counterfactual chain put into words.

    Edited facts are worded as the edit is (first statement), all else by wordings that only scoring uses.
    """

    def __init__(self, book: Book, chain: Counterfactual, rng: random.Random) -> None:
        self.book, self.chain = book, chain
        self.edited = {(chain.after[position], chain.relations[position]) for position in chain.edited}
        path = chain.relations
        templates = [book.questions(path)[0], book.questions(path, phrase=1)[0]]
        templates.append(rng.choice(book.statements(path) + book.statements(path, phrase=1)))
        self.questions = tuple(book.fill(template, chain.before[0]) for template in templates)
        self.clozes = {relation: rng.choice(book.statements((relation,))) for relation in sorted(set(path))}

    def gives_away(self) -> bool:
        """Whether a question names the old or the new answer."""
        answers = [self.book.labels[nodes[-1]].casefold() for nodes in (self.chain.before, self.chain.after)]
        return any(answer in question.casefold() for question in self.questions for answer in answers)

    def draft(self) -> Draft:
        """The record, and all that the unedited model must know for it to mean something.

        Known are the multi-hop question in all three wordings, every fact of the chain before the edits, the old
        object of every edited fact, and every other fact of the chain after them, each as cloze and as question.
        """
        book, chain = self.book, self.chain
        before, after = self._hops(chain.before), self._hops(chain.after)
        rewrites = tuple(self._rewrite(position) for position in chain.edited)
        known = [(question, book.labels[chain.before[-1]]) for question in self.questions]
        # Every fact of both chains, with its object before any edit.
        for nodes in (chain.before, chain.after):
            for position, relation in enumerate(chain.relations):
                fact = nodes[position], relation
                answer = book.labels[book.object_of[fact]]
                known += [(self._cloze(fact), answer), (self._question(fact), answer)]
        record = MQuakeRecord(
            case_id=0,
            rewrites=rewrites,
            questions=self.questions,
            answer=before[-1].answer,
            answer_aliases=before[-1].aliases,
            new_answer=after[-1].answer,
            new_answer_aliases=after[-1].aliases,
            hops=before,
            new_hops=after,
            triples=self._triples(chain.before),
            triple_labels=self._labelled(chain.before),
            new_triples=self._triples(chain.after),
            new_triple_labels=self._labelled(chain.after),
            edit_triples=tuple(self._triples(chain.after)[position] for position in chain.edited),
        )
        return Draft(record, tuple(dict.fromkeys(known)))

    def _cloze(self, fact: tuple[str, str]) -> str:
        subject, relation = fact
        if fact in self.edited:
            template = self.book.text[relation].cloze[0]
        else:
            template = self.book.statement_of(subject, relation) or self.clozes[relation]
        return self.book.fill(template, subject)

    def _question(self, fact: tuple[str, str]) -> str:
        subject, relation = fact
        return self.book.fill(self.book.questions((relation,))[0], subject)

    def _hops(self, nodes: Sequence[str]) -> tuple[Hop, ...]:
        book = self.book
        return tuple(
            Hop(
                question=self._question((subject, relation)),
                answer=book.labels[obj],
                aliases=book.other_names(obj),
                cloze=self._cloze((subject, relation)),
            )
            for subject, relation, obj in self._triples(nodes)
        )

    def _rewrite(self, position: int) -> Rewrite:
        book, (subject, relation, target) = self.book, self._triples(self.chain.after)[position]
        true = book.object_of[subject, relation]
        return Rewrite(
            subject=book.labels[subject],
            prompt=book.text[relation].cloze[0],
            target_new=book.labels[target],
            target_true=book.labels[true],
            question=self._question((subject, relation)),
            subject_id=subject,
            relation_id=relation,
            target_new_id=target,
            target_true_id=true,
        )

    def _triples(self, nodes: Sequence[str]) -> tuple[Triple, ...]:
        return tuple(zip(nodes, self.chain.relations, nodes[1:], strict=False))

    def _labelled(self, nodes: Sequence[str]) -> tuple[Triple, ...]:
        labels, text = self.book.labels, self.book.text
        return tuple((labels[s], text[r].label, labels[o]) for s, r, o in self._triples(nodes))
