"""Walks over candidate facts in a fixed order and remembers which of them the model recalls, within a bound.

The bundled model recalls nearly all candidates; a language model perhaps one in twenty, so walking until thousands are
found would take hours. A first sample tells which model it is. Where it recalls less than half of the sample, the rest
of the walk passes over the relations of which nothing was recalled, and takes facts about well-linked items first; and
no walk asks more than `most_asked`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

CHUNK = 64  # facts asked at once
SAMPLE = 4 * CHUNK  # facts after which the rest of the walk is ordered
MOST = 1536  # facts asked of a model that recalls few
_SPARSE = 0.5  # share of the sample below which the rest is ordered
_TRIED = 5  # facts of a relation in the sample, none of them recalled, that rule the relation out


class KnownFact(NamedTuple):
    """A triple with the labels of its ends."""

    subject: str
    relation: str
    object: str
    subject_label: str
    object_label: str


def most_asked(count: int) -> int:
    """The most facts that are asked to find so many."""
    return max(MOST, 3 * count // 2)


class RecallWalk:
    """The order of some facts, and the verdicts on the first of them.

    Attributes:
        verdicts: Whether the model recalls each fact, in the order of the walk, as far as it was asked.
    """

    def __init__(self, facts: Sequence[KnownFact], seed: int, verdicts: Sequence[bool]) -> None:
        """Order the facts.

        Args:
            facts: The candidates.
            seed: Same seed, same order.
            verdicts: What an earlier walk over the same facts found.
        """
        self._facts, self._seed = list(facts), seed
        random.Random(seed).shuffle(self._facts)
        self.verdicts = list(verdicts[: len(facts)])

    def chunk(self, start: int) -> Sequence[KnownFact]:
        """The facts that are asked together; those before must have verdicts."""
        return (self._facts if start < SAMPLE else self._ordered)[start : start + CHUNK]

    def answered(self, start: int) -> Sequence[bool]:
        """The verdicts on a chunk; empty if it was not asked."""
        return self.verdicts[start : start + CHUNK]

    def answer(self, verdicts: Sequence[bool]) -> Sequence[bool]:
        """Remember the verdicts on the next chunk."""
        self.verdicts += verdicts
        return verdicts

    @cached_property
    def _ordered(self) -> list[KnownFact]:
        """The sample, then the rest in the order that its verdicts suggest."""
        sample, rest = self._facts[:SAMPLE], self._facts[SAMPLE:]
        verdicts = self.verdicts[:SAMPLE]
        if sum(verdicts) >= _SPARSE * len(sample):
            return self._facts
        tried = Counter(fact.relation for fact in sample)
        right = Counter(fact.relation for fact, answered in zip(sample, verdicts, strict=True) if answered)
        hopeless = {relation for relation, number in tried.items() if number >= _TRIED and not right[relation]}
        # Weighted sampling without replacement (Efraimidis and Spirakis, 2006): well-linked items come early.
        links = Counter(end for fact in self._facts for end in (fact.subject, fact.object))
        rng = random.Random(self._seed)
        drawn = {fact: rng.random() ** (1 / links[fact.subject]) for fact in rest}
        return sample + sorted(
            (fact for fact in rest if fact.relation not in hopeless), key=lambda fact: drawn[fact], reverse=True
        )
