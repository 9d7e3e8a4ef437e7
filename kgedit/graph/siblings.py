"""Items of the subject's kind: what is asked of them looks like a question about the edit, and is none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from kg_cache.graph import KnowledgeGraph, Triple
from kg_cache.ids import id_order
from kgedit.graph.incoming_walks import STORED, lot

_PER_SIBLING = 2  # facts that lead to it


def sibling_facts(
    graph: KnowledgeGraph,
    subject: str,
    subject_facts: Sequence[Triple],
    *,
    count: int,
    relations: Collection[str],
    seed: int = 0,
) -> tuple[tuple[Triple, ...], ...]:
    """Of each item that shares most facts with the subject: the fact shared first, then facts that lead to the item.

    Args:
        graph: Asked twice.
        subject: Item id.
        subject_facts: What the graph says of it.
        count: Most siblings.
        relations: Those of facts that lead to a sibling.
        seed: 0 takes items with the smallest numbers first; another seed draws them.
    """
    shared = {(fact.relation, fact.object) for fact in subject_facts}
    alike = graph.incoming(sorted({fact.object for fact in subject_facts}), limit=STORED).triples if shared else ()
    own: dict[str, list[Triple]] = defaultdict(list)
    for fact in alike:
        if (fact.relation, fact.object) in shared and fact.subject != subject:
            own[fact.subject].append(fact)
    ranked = sorted(own, key=lambda item: (-len(own[item]), lot(own[item][0], seed), id_order(item)))[:count]
    into: dict[str, list[Triple]] = defaultdict(list)
    used: Counter[tuple[str, str]] = Counter()
    leading = graph.incoming(ranked, limit=STORED).triples if ranked else ()
    for fact in sorted(leading, key=lambda fact: (id_order(fact.relation), lot(fact, seed), id_order(fact.subject))):
        if fact.relation in relations and fact.subject != subject and not used[fact.object, fact.relation]:
            used[fact.object, fact.relation] += 1
            into[fact.object].append(fact)
    return tuple((own[item][0], *into[item][:_PER_SIBLING]) for item in ranked)
