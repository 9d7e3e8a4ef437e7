"""Facts of the graph that an edit must leave alone: unrelated ones, and others of its subject."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Set as AbstractSet
from functools import cached_property

from kg_cache.graph import KnowledgeGraph, named
from kg_cache.store import Store
from kgedit.graph.other_names import other_names
from kgedit.graph.verbalize import Verbalizer
from kgedit.text.template import fill

SUBJECTS = 400  # the most linked items of the graph, of which a model can be expected to know something
BESIDE = 3  # relations that go with an edited one


class GraphFacts:
    """Prompts about facts of a local graph; a graph that is asked over the network gives none."""

    def __init__(self, graph: KnowledgeGraph, text: Verbalizer) -> None:
        """Take the graph and the wordings of its relations."""
        self._graph = graph if isinstance(graph, Store) else None
        self._text = text

    def unrelated(self, edited: AbstractSet[str], count: int, rng: random.Random) -> tuple[str, ...]:
        """Prompts about well-known items.

        Args:
            edited: Subjects and objects of all edits of the run, by their names in small letters; none of them
                is in a fact that is asked for.
            count: How many.
            rng: What draws.
        """
        chosen: list[str] = []
        facts = self._known
        for place in rng.sample(range(len(facts)), len(facts)):
            if len(chosen) == count:
                break
            subject, obj, prompt = facts[place]
            if not edited & {subject.casefold(), obj.casefold()}:
                chosen.append(prompt)
        return tuple(chosen)

    def of_subject(self, subject: str, relation: str | None) -> tuple[str, ...]:
        """Prompts about other facts of a subject: of the relations that its kind of subject mostly has beside one.

        Args:
            subject: Its name; the graph need not know it.
            relation: Property of the edited fact. Where the graph does not know it, what the subject is is asked.
        """
        beside = self._beside.get(relation or "", ())
        return tuple(fill(self._text.prompts((other,))[0], subject) for other in beside) or (f"{subject} is a",)

    def names(self, item: str | None) -> tuple[str, ...]:
        """Other names of an item, without codes that are words as well."""
        return other_names(self._graph, item)

    @cached_property
    def _known(self) -> list[tuple[str, str, str]]:
        """(subject, object, prompt) of facts with one object about the most linked items, in a fixed order."""
        if self._graph is None:
            return []
        triples = [triple for triple in self._graph.triples() if triple.relation in self._text]
        links = Counter(triple.object for triple in triples)
        linked = {item for item, _ in sorted(links.items(), key=lambda pair: (-pair[1], pair[0]))[:SUBJECTS]}
        objects = Counter((triple.subject, triple.relation) for triple in triples)
        facts = sorted(
            fact
            for fact in triples
            if fact.subject in linked
            and self._text[fact.relation].single
            and objects[fact.subject, fact.relation] == 1
        )
        labels = self._graph.labels(sorted({end for fact in facts for end in (fact.subject, fact.object)}))
        return [
            (
                labels[fact.subject],
                labels[fact.object],
                fill(self._text.prompts((fact.relation,))[0], labels[fact.subject]),
            )
            for fact in facts
            if named(labels, fact.subject) and named(labels, fact.object)
        ]

    @cached_property
    def _beside(self) -> dict[str, tuple[str, ...]]:
        """Relation -> the relations with wordings that its subjects most often have beside it."""
        if self._graph is None:
            return {}
        of_subject: dict[str, set[str]] = defaultdict(set)
        for triple in self._graph.triples():
            of_subject[triple.subject].add(triple.relation)
        together: dict[str, Counter[str]] = defaultdict(Counter)
        for relations in of_subject.values():
            for relation in relations:
                together[relation].update(other for other in relations if other != relation and other in self._text)
        return {
            relation: tuple(other for other, _ in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:BESIDE])
            for relation, found in together.items()
        }
