"""Facts on the way to an edit's subject: what a question passes that reaches the edited fact without naming it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import zip_longest
from typing import TypeVar

from kg_cache.graph import KnowledgeGraph, Triple
from kg_cache.ids import id_order

T = TypeVar("T")
IncomingWalk = tuple[Triple, ...]  # in walking order; the last one's object is the subject
Path = tuple[str, ...]  # relations in walking order

MOST = 160  # walks to one subject
_PER_PATH = 8  # of one path
STORED = 2000  # facts read per item: a hub has many, and a few of each relation are enough


def incoming_walks(
    graph: KnowledgeGraph, subject: str, *, hops: int, relations: Collection[str], seed: int = 0
) -> tuple[IncomingWalk, ...]:
    """Walks that end at the subject, as far as the graph has stored them; paths take turns, shorter ones first.

    Args:
        graph: Asked once per hop.
        subject: Item id.
        hops: Longest walk.
        relations: Followed ones.
        seed: 0 takes the items with the smallest numbers first; another seed draws them.
    """
    found: dict[Path, list[IncomingWalk]] = {}
    ends: dict[Path, list[IncomingWalk]] = {(): [()]}
    for _ in range(hops):
        items = sorted(
            {walk[0].subject if walk else subject for walks in ends.values() for walk in walks}, key=id_order
        )
        into = _into(graph, items, relations, seed)
        longer: dict[Path, list[IncomingWalk]] = defaultdict(list)
        for path, walks in ends.items():
            for walk in walks:
                passed = {subject, *(triple.subject for triple in walk)}
                for triple in into[walk[0].subject if walk else subject]:
                    its = longer[(triple.relation, *path)]
                    if triple.subject not in passed and len(its) < _PER_PATH:
                        its.append((triple, *walk))
        found |= longer
        ends = longer
    return tuple(in_turn(found.values())[:MOST])


def in_turn(lists: Iterable[Iterable[T]]) -> list[T]:
    """The first of each list, then the second of each, so that none fills the result alone."""
    nothing = object()
    return [one for row in zip_longest(*lists, fillvalue=nothing) for one in row if one is not nothing]  # type: ignore[misc]


def lot(triple: Triple, seed: int) -> str:
    """What a fact is sorted by when a seed draws; the same for all facts with seed 0."""
    return hashlib.sha256(f"{seed} {' '.join(triple)}".encode()).hexdigest() if seed else ""


def _into(graph: KnowledgeGraph, items: list[str], relations: Collection[str], seed: int) -> dict[str, list[Triple]]:
    """Item -> stored facts of which it is the object, in the order in which they are taken."""

    def key(triple: Triple) -> tuple[tuple[str, int], str, tuple[str, int]]:
        return id_order(triple.relation), lot(triple, seed), id_order(triple.subject)

    into: dict[str, list[Triple]] = defaultdict(list)
    for triple in sorted(graph.incoming(items, limit=STORED).triples if items else (), key=key):
        if triple.relation in relations:
            into[triple.object].append(triple)
    return into
