"""Walks over candidate facts in turns of relations, so that a few frequent relations do not use up what is asked.

A language model recalls few facts of a graph, most of them of few relations, and of those most with one object (every
American is "a citizen of the United States of America"). Benchmarks need several relations, and facts that touch each
other: subjects that share an object, and objects whose own facts are recalled. So each relation has its turn as long
as something is found of it; within a relation, facts that touch found ones come first, then those of well-linked
items.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from kgedit.ingest.decide.recall_walk import CHUNK, KnownFact

_TRIED = 48  # facts of a relation after which it must have yielded something
_LEAST = 1 / 24  # share of them that must be found for it to have more turns
_PAIR = 16  # facts with one object that are found, or asked for in vain, before no more are asked for


class TurnWalk:
    """The order in which facts are asked for; it depends on what was found so far, and on a seed."""

    def __init__(self, facts: Sequence[KnownFact], seed: int) -> None:
        """Order the facts of each relation: weighted sampling without replacement (Efraimidis and Spirakis, 2006).

        Args:
            facts: The candidates.
            seed: Same seed and same verdicts, same walk.
        """
        rng = random.Random(seed)
        links = Counter(end for fact in facts for end in (fact.subject, fact.object))
        drawn = {fact: rng.random() ** (1 / links[fact.subject]) for fact in facts}
        self._waiting: dict[str, list[KnownFact]] = {}
        for fact in sorted(facts, key=lambda fact: (-drawn[fact], fact)):
            self._waiting.setdefault(fact.relation, []).append(fact)
        # By relation, and by relation and object.
        self._asked: Counter[str | tuple[str, str]] = Counter()
        self._found: Counter[str | tuple[str, str]] = Counter()
        self._objects: Counter[str] = Counter()

    def next_chunk(self, most: int = CHUNK) -> list[KnownFact]:
        """The facts that are asked for next, which must be answered before the next chunk; none at the end."""
        turns = {relation: self._in_order(waiting) for relation, waiting in self._waiting.items()}
        asked = Counter({relation: self._asked[relation] for relation in turns})
        chunk: list[KnownFact] = []
        while len(chunk) < most and (open_ := [relation for relation, waiting in turns.items() if waiting]):
            # The relation that had the fewest turns has the next one.
            relation = min(open_, key=lambda relation: (asked[relation], relation))
            asked[relation] += 1
            chunk.append(turns[relation].pop())
        taken = set(chunk)
        for relation, waiting in self._waiting.items():
            self._waiting[relation] = [fact for fact in waiting if fact not in taken]
        return chunk

    def answer(self, chunk: Sequence[KnownFact], found: Sequence[bool]) -> None:
        """Remember which facts of a chunk were found."""
        for fact, right in zip(chunk, found, strict=True):
            pair = fact.relation, fact.object
            self._asked.update((fact.relation, pair))
            if right:
                self._found.update((fact.relation, pair))
                self._objects[fact.object] += 1

    def _in_order(self, waiting: Sequence[KnownFact]) -> list[KnownFact]:
        """The facts of a relation that may be asked for, the next one last."""
        if not waiting or self._in_vain(waiting[0].relation, _TRIED):
            return []
        open_ = [fact for fact in waiting if not self._enough((fact.relation, fact.object))]
        return sorted(reversed(open_), key=self._touching)

    def _touching(self, fact: KnownFact) -> int:
        """How many found facts have its subject as their object, or share its object."""
        return self._objects[fact.subject] + self._found[fact.relation, fact.object]

    def _enough(self, pair: tuple[str, str]) -> bool:
        return self._found[pair] >= _PAIR or self._in_vain(pair, _PAIR)

    def _in_vain(self, what: str | tuple[str, str], tried: int) -> bool:
        return self._asked[what] >= tried and self._found[what] < _LEAST * self._asked[what]
