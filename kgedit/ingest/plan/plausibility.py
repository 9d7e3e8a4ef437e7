"""Refuses implausible changes: what the graph and the wording alone speak against, without the model.

- The new object is the subject.
- The new object is of the wrong kind: a city as a spouse. An item's kind shows in the properties that it has and
  that lead to it, its traits. Each trait votes by how much commoner it is among the objects of the relation than
  among all items (log p(trait | object of the relation) / p(trait)); a sum below -1 speaks against the item. An item
  that is an object of the relation somewhere in the graph, or has fewer than two traits, is let pass. On the bundled
  snapshot, with every other object of each relation kept from it: 0.2 % of those kept were refused, as were four
  in five people as places and nine in ten capitals as parents.
- The new object is no name: free text of more tokens than names have.
- The subject is no name: free text in small letters, one word of any sentence; a change of its key would speak up
  wherever the word stands.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from kg_cache.graph import KnowledgeGraph, Triple
from kg_cache.store import Store
from kg_cache.text import show
from kgedit.lm.tokens import encode_target
from kgedit.resolve import Resolved

_SAMPLE = 200  # objects of a relation that are looked at
_FEWEST = 20  # objects below which a relation says nothing about kinds
_LINKS = 1000  # triples of one item that are looked at
_AGAINST = -1.0  # sum of votes below which an item is of the wrong kind
_LONGEST_NAME = 32  # tokens


@dataclass(frozen=True)
class _Census:
    """How common each trait is in a graph, and some objects of each relation."""

    items: int
    having: Mapping[str, int]
    objects: Mapping[str, list[str]]


class Plausibility:
    """Looks for a reason to refuse a change as implausible."""

    def __init__(self, graph: KnowledgeGraph, tokenizer: PreTrainedTokenizerBase) -> None:
        """Take the graph, of which only a local store tells kinds, and the model's tokenizer."""
        self._graph, self._tokenizer = graph, tokenizer
        self._census = _take_census(graph.triples()) if isinstance(graph, Store) else _Census(0, {}, {})
        self._traits: Callable[[str], frozenset[str]] = lru_cache(4096)(self._look)
        self._votes: Callable[[str], Mapping[str, float]] = lru_cache(None)(self._count)

    def complaint(self, resolved: Resolved) -> str | None:
        """Why the change cannot be meant; None if nothing speaks against it."""
        subject, target = resolved.request.subject, resolved.request.target
        if resolved.subject_id is None and subject.islower() and len(subject.split()) == 1:
            return f"the subject {show(subject)} is no name but a word; the change would spread to all its uses"
        if (resolved.target_id or target) == (resolved.subject_id or subject):
            return f"{show(subject)} would be its own object"
        if resolved.target_id is None:
            tokens = len(encode_target(self._tokenizer, target))
            if tokens > _LONGEST_NAME:
                return f"the new object is no name: {tokens} tokens, {_LONGEST_NAME} are the most"
            return None
        return self._kind(resolved.relation, resolved.target_id, target) if resolved.relation else None

    def _kind(self, relation: str, item: str, label: str) -> str | None:
        if len(self._census.objects.get(relation, ())) < _FEWEST:
            return None
        traits = self._traits(item)
        if f"<{relation}" in traits or len(traits) < 2:
            return None
        votes = self._votes(relation)
        if sum(votes.get(trait, 0.0) for trait in traits) >= _AGAINST:
            return None
        worst = ", ".join(sorted(traits, key=lambda trait: votes.get(trait, 0.0))[:3])
        return f"{show(label)} is not the kind of thing that {relation} leads to (it has {worst})"

    def _look(self, item: str) -> frozenset[str]:
        """The traits of an item: ">P27" for a property that it has, "<P19" for one that leads to it."""
        out = self._graph.neighbours([item], limit=_LINKS).triples
        back = self._graph.incoming([item], limit=_LINKS).triples
        return frozenset({f">{triple.relation}" for triple in out} | {f"<{triple.relation}" for triple in back})

    def _count(self, relation: str) -> Mapping[str, float]:
        census, objects = self._census, self._census.objects[relation]
        sample = objects[:: max(1, len(objects) // _SAMPLE)][:_SAMPLE]  # from all over: no corner of the graph decides
        here = Counter(trait for item in sample for trait in self._look(item))
        return {
            trait: math.log((here[trait] + 0.5) / (len(sample) + 1)) - math.log((number + 0.5) / (census.items + 1))
            for trait, number in census.having.items()
        }


def _take_census(triples: Iterable[Triple]) -> _Census:
    """One walk over the triples, which come by subject and relation."""
    items: set[str] = set()
    having: Counter[str] = Counter()
    objects: dict[str, dict[str, None]] = {}
    last: tuple[str, str] | None = None
    for subject, relation, obj in triples:
        items.update((subject, obj))
        objects.setdefault(relation, {})[obj] = None
        if (subject, relation) != last:
            having[f">{relation}"] += 1
            last = subject, relation
    having.update({f"<{relation}": len(found) for relation, found in objects.items()})
    return _Census(len(items), having, {relation: list(found) for relation, found in objects.items()})
