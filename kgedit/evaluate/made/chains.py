"""Chains of facts before and after counterfactual edits along them, as MQuAKE builds them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from kgedit.evaluate.made.book import Book
from kgedit.mini.corpus import paths

MAX_USES = 12  # of one edited fact; a few famous ones would otherwise be edited in most of the cases
MAX_TRIED = 20  # new objects tried for one fact; of the relations at hand, most lead on or none does
EDITABLE = 0.75  # share of a part's facts that may be edited; the others are what its chains rest on


class KnownPath(NamedTuple):
    """A path of facts as they are: nodes[0] -relations[0]-> nodes[1] and so on."""

    relations: tuple[str, ...]
    nodes: tuple[str, ...]


class Counterfactual(NamedTuple):
    """One chain before and after edits.

    Attributes:
        relations: Property ids, the same before and after.
        before: Items along the chain as it is.
        after: Items along the chain after the edits; each fact starts from the object of the one before it.
        edited: Positions of the edited facts in `after`.
    """

    relations: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    edited: tuple[int, ...]


def all_chains(book: Book, hops: Sequence[int]) -> dict[int, list[KnownPath]]:
    """Every path over the facts, those of chains.tsv among them, by the number of hops."""
    return {count: [KnownPath(*path) for path in sorted(paths(book.facts, book.text, count))] for count in hops}


class ChainEdits:
    """Draws counterfactual chains of one part that do not contradict each other.

    All edits of a part could be made together (what the second version of MQuAKE-CF-3k fixes): a fact has one
    new object in all cases that edit it, and no case rests on the old object of a fact that another case edits. So
    it is drawn beforehand which facts may be edited.
    """

    def __init__(
        self, book: Book, chains: Mapping[int, Sequence[KnownPath]], subjects: frozenset[str], seed: str
    ) -> None:
        """Take the chains to start from by their length, and the subjects whose facts may be edited."""
        self.book, self.chains, self.seed = book, chains, seed
        facts = [fact for fact in book.facts if fact.subject in subjects and book.text[fact.relation].single]
        drawn = random.Random(f"{seed} editable").sample(facts, round(EDITABLE * len(facts)))
        self._editable = {(fact.subject, fact.relation) for fact in drawn}
        self._uses: Counter[tuple[str, str]] = Counter()
        self._new: dict[tuple[str, str], str] = {}
        self._objects = {relation: sorted({f.object for f in facts}) for relation, facts in book.of_relation.items()}

    def draw(self, hops: int, edits: int) -> Iterator[Counterfactual]:
        """Chains of so many hops with so many edits, each starting chain once.

        Args:
            hops: Facts of the chain.
            edits: How many of them are edited.
        """
        rng = random.Random(f"{self.seed} {hops} {edits}")
        for chain in rng.sample(self.chains[hops], len(self.chains[hops])):
            choices = list(combinations(range(hops), edits))
            for edited in rng.sample(choices, len(choices)):
                after = self._walk(chain, edited, (chain.nodes[0],), rng)
                if after is not None:
                    counterfactual = Counterfactual(chain.relations, chain.nodes, after, edited)
                    self._agree(counterfactual)
                    yield counterfactual
                    break

    def _walk(
        self, chain: KnownPath, edited: tuple[int, ...], nodes: tuple[str, ...], rng: random.Random
    ) -> tuple[str, ...] | None:
        """The rest of the chain after the edits, depth first; None where it breaks off or leads back."""
        position = len(nodes) - 1
        if position == len(chain.relations):
            return nodes if self.book.apart(nodes[-1], chain.nodes[-1]) else None
        for target in self._targets(chain, edited, nodes, rng):
            if target not in nodes and (rest := self._walk(chain, edited, (*nodes, target), rng)):
                return rest
        return None

    def _targets(
        self, chain: KnownPath, edited: tuple[int, ...], nodes: tuple[str, ...], rng: random.Random
    ) -> Iterator[str]:
        """Objects that the next fact may have: its own, or new ones if it is to be edited."""
        position = len(nodes) - 1
        fact = nodes[-1], chain.relations[position]
        true = self.book.object_of.get(fact)
        # The fact must be known, and be one of those that may be edited if and only if it is edited here.
        if true is None or (fact in self._editable) != (position in edited):
            return
        if position not in edited:
            yield true
        elif self._uses[fact] < MAX_USES:
            # A new object must have a fact of the next relation; a fact edited before keeps the object it got then.
            onward = chain.relations[position + 1 : position + 2]
            choices = [self._new[fact]] if fact in self._new else self._objects[fact[1]]
            leading = [target for target in choices if self._leads_on(target, onward, position + 1 in edited)]
            for target in rng.sample(leading, min(len(leading), MAX_TRIED)):
                if target not in chain.nodes and target != true and self.book.apart(target, true):
                    yield target

    def _leads_on(self, target: str, onward: Sequence[str], edited: bool) -> bool:
        """Whether the fact that comes next, if one does, is known and may be edited or not, as wanted."""
        facts = [(target, relation) for relation in onward]
        return all(fact in self.book.object_of and (fact in self._editable) == edited for fact in facts)

    def _agree(self, counterfactual: Counterfactual) -> None:
        for position in counterfactual.edited:
            fact = counterfactual.after[position], counterfactual.relations[position]
            self._new[fact] = counterfactual.after[position + 1]
            self._uses[fact] += 1
