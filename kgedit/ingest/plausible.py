"""What the graph and the wording alone say against a change, before any weight is looked at.

- The new object is the subject.
- The new object is of the wrong kind: a city as a spouse. An item's kind is told by the properties that it has and
  that lead to it. It is wrong for a relation if none of them occurs with the objects that the relation has in the
  graph. (On the true triples of the bundled snapshot the rule would complain of 0.4 %, were those not let pass
  because the graph has the object in this relation already.)
- The new object is no name: free text of more tokens than names have.
- The subject is no name: free text in small letters, one word of any sentence; a change of its key would speak up
  wherever the word stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from kg_cache.graph import KnowledgeGraph, Triple, show
from kg_cache.store import Store
from kgedit.ingest.names import Resolved
from kgedit.lm.tokens import encode_target

_SAMPLE = 200  # objects of a relation that are looked at
_FEWEST = 20  # objects below which a relation says nothing about kinds
_COMMON = 0.05  # share of a relation's objects that must have a property for it to count
_LINKS = 1000  # triples of one item that are looked at
_LONGEST_NAME = 32  # tokens


class Plausibility:
    """Looks for a reason to refuse a change."""

    def __init__(self, graph: KnowledgeGraph, tokenizer: PreTrainedTokenizerBase) -> None:
        """Take the graph, of which only a local store tells kinds, and the model's tokenizer."""
        self._graph, self._tokenizer = graph, tokenizer
        self._objects = _sample_objects(graph.triples()) if isinstance(graph, Store) else {}
        self._traits: Callable[[str], frozenset[str]] = lru_cache(4096)(self._look)
        self._usual: Callable[[str], frozenset[str]] = lru_cache(None)(self._common)

    def complaint(self, found: Resolved) -> str | None:
        """Why the change cannot be meant; None if nothing speaks against it."""
        if found.subject_id is None and found.subject.islower() and len(found.subject.split()) == 1:
            return f"the subject {show(found.subject)} is no name but a word; the change would spread to all its uses"
        if (found.target_id or found.target) == (found.subject_id or found.subject):
            return f"{show(found.subject)} would be its own object"
        if found.target_id is None:
            tokens = len(encode_target(self._tokenizer, found.target))
            if tokens > _LONGEST_NAME:
                return f"the new object is no name: {tokens} tokens, {_LONGEST_NAME} are the most"
            return None
        return self._kind(found.relation, found.target_id, found.target) if found.relation else None

    def _kind(self, relation: str, item: str, label: str) -> str | None:
        if len(self._objects.get(relation, ())) < _FEWEST:
            return None
        traits = self._traits(item)
        if f"<{relation}" in traits or len(traits) < 2 or traits & self._usual(relation):
            return None
        shown = ", ".join(sorted(traits)[:4])
        return f"{show(label)} is no kind of thing that {relation} leads to (what the graph says of it: {shown})"

    def _look(self, item: str) -> frozenset[str]:
        """The properties of an item: ">P27" for one that it has, "<P19" for one that leads to it."""
        out = self._graph.neighbours([item], limit=_LINKS).triples
        back = self._graph.incoming([item], limit=_LINKS).triples
        return frozenset({f">{triple.relation}" for triple in out} | {f"<{triple.relation}" for triple in back})

    def _common(self, relation: str) -> frozenset[str]:
        objects = self._objects[relation]
        counts = Counter(trait for item in objects for trait in self._look(item) if trait != f"<{relation}")
        least = max(2.0, _COMMON * len(objects))
        return frozenset(trait for trait, number in counts.items() if number >= least)


def _sample_objects(triples: Iterable[Triple]) -> dict[str, list[str]]:
    """Every n-th object of each relation, so that no corner of the graph decides what is usual."""
    found: dict[str, dict[str, None]] = {}
    for triple in triples:
        objects = found.setdefault(triple.relation, {})
        if triple.object not in objects:
            objects[triple.object] = None
    return {
        relation: list(objects)[:: max(1, len(objects) // _SAMPLE)][:_SAMPLE] for relation, objects in found.items()
    }
