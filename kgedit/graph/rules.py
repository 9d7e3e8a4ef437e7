"""Rules of a graph: over which two facts a third one usually follows, and what an edit implies by them.

"Born in Lyon" and "Lyon lies in France" usually go with "citizen of France". An edit of the one fact leaves the other
behind, so what follows from the edit by the graph's own rules can be made with it (ChainEdit: ACL 2025). Rules are
counted in the graph; nothing is written by hand. docs/methods.md, "Rule closure".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kg_cache.graph import KnowledgeGraph, Triple, named
from kg_cache.ids import id_order
from kgedit.graph.verbalize import Verbalizer

LEAST_SUPPORT = 10
LEAST_CONFIDENCE = 0.8
_MOST_OTHERS = 8  # other subjects for which something follows from one edit by one rule

# Entity -> relation -> its objects.
_Facts = Mapping[str, Mapping[str, set[str]]]


class Rule(NamedTuple):
    """Over (s, first, m) and (m, second, o) usually follows (s, implied, o).

    Attributes:
        first: Relation of the first fact.
        second: Relation of the second one.
        implied: Relation of what follows.
        support: How often the graph has all three relations.
        confidence: In what share of these the third fact has the object that follows.
    """

    first: str
    second: str
    implied: str
    support: int
    confidence: float


class Implied(NamedTuple):
    """A fact that follows from an edit.

    Attributes:
        fact: It, as ids.
        subject_label: Text of its subject.
        object_label: Text of its object.
        stated: The object that the graph has in its place; None if it has none.
        rule: The rule that it follows by.
    """

    fact: Triple
    subject_label: str
    object_label: str
    stated: str | None
    rule: Rule

    @property
    def slot(self) -> tuple[str, str]:
        """Subject and relation, as ids."""
        return self.fact.subject, self.fact.relation


def mine_rules(
    triples: Iterable[Triple],
    text: Verbalizer,
    *,
    least_support: int = LEAST_SUPPORT,
    least_confidence: float = LEAST_CONFIDENCE,
) -> tuple[Rule, ...]:
    """The rules over two facts among these triples, surest first.

    Only relations that have wordings and normally one object are looked at, and only facts with one object.

    Args:
        triples: The graph; read once, and its facts of such relations are held in memory.
        text: Says which relations have wordings and one object.
        least_support: See `Rule.support`.
        least_confidence: See `Rule.confidence`.
    """
    facts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for subject, relation, obj in triples:
        if relation in text and text[relation].single:
            facts[subject][relation].add(obj)
    # Of each subject every path of two facts, set beside each of its other facts.
    support: Counter[tuple[str, str, str]] = Counter()
    right: Counter[tuple[str, str, str]] = Counter()
    for subject, own in facts.items():
        stated = dict(_single(own))
        for first, middle in stated.items():
            for second, end in _single(facts.get(middle, {})):
                if subject in (middle, end) or not text.composable((first, second)):
                    continue
                for implied, obj in stated.items():
                    if implied != first:
                        support[first, second, implied] += 1
                        right[first, second, implied] += obj == end
    rules = (
        Rule(*relations, count, right[relations] / count)
        for relations, count in support.items()
        if count >= least_support and right[relations] >= least_confidence * count
    )
    return tuple(sorted(rules, key=lambda rule: (-rule.confidence, -rule.support, rule)))


def implied_facts(graph: KnowledgeGraph, rules: Sequence[Rule], edit: Triple, old: str | None) -> tuple[Implied, ...]:
    """What follows from an edit by the rules, one fact of each subject and relation; the surest rule has the say.

    A fact that the graph states otherwise follows only where what it states followed from the old object: who was a
    citizen of the country of birth before becomes one of the new country; who was not stays what they were.

    Args:
        graph: Asked for the facts around the edit.
        rules: See `mine_rules`.
        edit: The new fact, as ids.
        old: The object that it replaces; by default the one that the graph states.
    """
    # 1. What the graph says of both ends, and of the object before the edit.
    around = _facts(graph.neighbours([edit.subject, edit.object]).triples)
    stated_old = around.get(edit.subject, {}).get(edit.relation, set())
    old = old or (next(iter(stated_old)) if len(stated_old) == 1 else None)
    before = _facts(graph.neighbours([old]).triples).get(old, {}) if old else {}
    # 2. The edit as the first fact of each rule, and as its second; the surest rule has the say about a fact.
    found = [*_behind(edit, around, before, rules), *_leading(graph, edit, old, rules)]
    surest: dict[tuple[str, str], tuple[Triple, str | None, Rule]] = {}
    for fact, stated, rule in sorted(found, key=lambda each: rules.index(each[2])):
        if fact[:2] != edit[:2]:
            surest.setdefault(fact[:2], (fact, stated, rule))
    # 3. Of these what changes something, and has a name.
    labels = graph.labels(sorted({end for fact, _, _ in surest.values() for end in (fact.subject, fact.object)}))
    return tuple(
        Implied(fact, labels[fact.subject], labels[fact.object], stated, rule)
        for fact, stated, rule in surest.values()
        if fact.object not in (stated, fact.subject) and named(labels, fact.subject) and named(labels, fact.object)
    )


def _behind(
    edit: Triple, around: _Facts, before: Mapping[str, set[str]], rules: Sequence[Rule]
) -> Iterator[tuple[Triple, str | None, Rule]]:
    """The edit as a rule's first fact: (s, r, o*) and (o*, second, o) imply (s, implied, o)."""
    own, behind = around.get(edit.subject, {}), around.get(edit.object, {})
    for rule in rules:
        ends, stated = behind.get(rule.second, set()), own.get(rule.implied, set())
        followed = len(stated) == 1 and stated == before.get(rule.second)
        if edit.relation == rule.first and len(ends) == 1 and (followed or not stated):
            yield Triple(edit.subject, rule.implied, next(iter(ends))), next(iter(stated), None), rule


def _leading(
    graph: KnowledgeGraph, edit: Triple, old: str | None, rules: Sequence[Rule]
) -> Iterator[tuple[Triple, str | None, Rule]]:
    """The edit as a rule's second fact: (x, first, s) and (s, r, o*) imply (x, implied, o*) where x had the old o."""
    if old is None or all(rule.second != edit.relation for rule in rules):
        return
    leading = graph.incoming([edit.subject]).triples
    own = _facts(graph.neighbours(sorted({one.subject for one in leading}, key=id_order)).triples)
    for rule in rules:
        if rule.second == edit.relation:
            through = [one.subject for one in leading if one.relation == rule.first]
            followed = [x for x in through if own.get(x, {}).get(rule.implied) == {old}]
            for x in sorted(followed, key=id_order)[:_MOST_OTHERS]:
                yield Triple(x, rule.implied, edit.object), old, rule


def _facts(triples: Iterable[Triple]) -> dict[str, dict[str, set[str]]]:
    facts: dict[str, dict[str, set[str]]] = {}
    for subject, relation, obj in triples:
        facts.setdefault(subject, {}).setdefault(relation, set()).add(obj)
    return facts


def _single(own: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Relation and object of the facts that have one object."""
    return ((relation, next(iter(objects))) for relation, objects in own.items() if len(objects) == 1)
