"""The high-order subgraph of an edit: the new fact (s, r, o*) and what is known about o* and beyond.

GLAME's knowledge graph augmentation (Zhang et al., EMNLP 2024): what a walk from the subject over the new
fact leads to. Only outgoing facts are part of it; the old object and the subject's other facts are not. What leads
to the subject is kept beside it, for methods that ask for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kg_cache.graph import KnowledgeGraph, Neighbourhood, Triple, named
from kg_cache.ids import id_order, is_entity_id, is_relation_id
from kgedit.graph.incoming_walks import IncomingWalk, in_turn, incoming_walks, lot
from kgedit.graph.siblings import sibling_facts

if TYPE_CHECKING:
    import networkx as nx
    from torch import Tensor
    from torch_geometric.data import Data

EdgeChoice = Literal["telling", "first"]

# Topic's main category, template has topic: about Wikimedia's own pages, not about the world.
DROPPED = frozenset({"P910", "P1423"})

# Relations that questions over two hops are asked about, most telling first.
PREFERRED = (
    "P17",  # country
    "P36",  # capital
    "P30",  # continent
    "P37",  # official language
    "P1412",  # languages spoken
    "P364",  # original language of work
    "P407",  # language of work
    "P6",  # head of government
    "P35",  # head of state
    "P131",  # located in the administrative entity
    "P276",  # location
    "P159",  # headquarters location
    "P641",  # sport
    "P108",  # employer
    "P140",  # religion
    "P38",  # currency
    "P50",  # author
    "P170",  # creator
    "P27",  # country of citizenship
)
_PREFERENCE = {relation: rank for rank, relation in enumerate(PREFERRED)}


class TwoHops(NamedTuple):
    """A walk over the new fact and one fact of its object, as ids: (s, r, o*) and (o*, r_i, o_i)."""

    subject: str
    first: str
    middle: str
    second: str
    object: str


@dataclass(frozen=True)
class Subgraph:
    """A small directed multigraph around one new fact.

    Attributes:
        center: The edit's subject: its id, or its text when it has none. Always the first node.
        target: The edit's new object, likewise. The second node, unless it is the subject itself.
        nodes: Ids in order of discovery.
        relations: Relation ids in order of first use.
        triples: The new fact first, then the facts around it, nearest first.
        labels: Text of every id in the graph and in what stands beside it.
        subject_facts: What else the graph says of the subject; not part of the graph.
        incoming_walks: Walks that lead to the subject; not part of the graph.
        siblings: Of each item of the subject's kind a fact that both have, and facts that lead to it; not part of the
            graph.
        partial: Entities of which the graph did not give all facts (a hub, an interrupted fetch).
        missing: Entities that the graph does not know.
        left_out: Number of facts found but not taken because of `max_edges` and `per_relation`.
        source: Names of the graphs that answered.
    """

    center: str
    target: str
    nodes: tuple[str, ...]
    relations: tuple[str, ...]
    triples: tuple[Triple, ...]
    labels: dict[str, str] = field(hash=False)
    subject_facts: tuple[Triple, ...] = ()
    incoming_walks: tuple[IncomingWalk, ...] = ()
    siblings: tuple[tuple[Triple, ...], ...] = ()
    partial: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    left_out: int = 0
    source: str = ""

    @property
    def subject_label(self) -> str:
        """Text of the subject."""
        return self.labels[self.center]

    @property
    def target_label(self) -> str:
        """Text of the new object."""
        return self.labels[self.target]

    @property
    def node_labels(self) -> tuple[str, ...]:
        """Texts of `nodes`, in their order."""
        return tuple(self.labels[node] for node in self.nodes)

    @property
    def relation_labels(self) -> tuple[str, ...]:
        """Texts of `relations`, in their order."""
        return tuple(self.labels[relation] for relation in self.relations)

    def other_facts(self) -> tuple[tuple[Triple, str], ...]:
        """The subject's facts under other relations than the edited one, each with its object's label."""
        return tuple(
            (triple, self.labels[triple.object]) for triple in self.subject_facts if named(self.labels, triple.object)
        )

    def paths(self) -> tuple[TwoHops, ...]:
        """Walks of two hops that begin with the new fact, in the order of `triples`.

        A walk that ends where it has been is left out: "the country of the capital of X" being X says nothing
        about the edit.
        """
        graph = self.to_networkx()
        first = self.triples[0].relation
        edges = sorted(graph.out_edges(self.target, keys=True, data="order"), key=lambda edge: edge[3])
        return tuple(
            TwoHops(self.center, first, self.target, second, end)
            for _, end, second, _ in edges
            if end not in (self.center, self.target) and self.center != self.target
        )

    def turned(self, relation: str, label: str) -> Subgraph:
        """The graph around the same fact told from its object's side: what is known of s stands behind (o*, r', s).

        Args:
            relation: Id of r'.
            label: Its text, if it has none yet.
        """
        triples = (Triple(self.target, relation, self.center), *self.subject_facts)
        own = (triple for triple in self.triples[1:] if triple.subject == self.target)
        return replace(
            self,
            center=self.target,
            target=self.center,
            nodes=tuple(dict.fromkeys(id for triple in triples for id in (triple.subject, triple.object))),
            relations=tuple(dict.fromkeys(triple.relation for triple in triples)),
            triples=triples,
            labels={relation: label} | self.labels,
            subject_facts=tuple(triple for triple in own if triple.relation != relation),
            incoming_walks=(),
            siblings=(),
        )

    def to_networkx(self) -> nx.MultiDiGraph:
        """The graph with labels; edges go subject -> object, keyed by relation, numbered by `order`."""
        import networkx as nx

        graph = nx.MultiDiGraph(center=self.center, target=self.target)
        graph.add_nodes_from((node, {"label": self.labels[node]}) for node in self.nodes)
        for i, (subject, relation, end) in enumerate(self.triples):
            graph.add_edge(subject, end, key=relation, label=self.labels[relation], order=i)
        return graph

    def to_pyg(self, x: Tensor, e: Tensor) -> Data:
        """The graph as tensors, messages going object -> subject as in the paper's equation.

        Args:
            x: (nodes, d) vectors of `nodes`, in their order.
            e: (relations, d) vectors of `relations`, in their order.

        Returns:
            Data with `x`, `edge_index` (2, triples), `edge_type` (triples,) and `relations` (relations, d);
            node 0 is the subject.

        Raises:
            ValueError: The number of vectors is not that of the nodes or relations.
        """
        import torch
        from torch_geometric.data import Data

        if len(x) != len(self.nodes) or len(e) != len(self.relations) or x.shape[1:] != e.shape[1:]:
            raise ValueError(
                f"the subgraph has {len(self.nodes)} nodes and {len(self.relations)} relations, "
                f"but the vectors have shapes {tuple(x.shape)} and {tuple(e.shape)}"
            )
        node = {key: i for i, key in enumerate(self.nodes)}
        relation = {key: i for i, key in enumerate(self.relations)}
        ends = [[node[triple.object], node[triple.subject]] for triple in self.triples]
        types = [relation[triple.relation] for triple in self.triples]
        return Data(
            x=x,
            edge_index=torch.tensor(ends, device=x.device).T.contiguous(),  # (2, triples)
            edge_type=torch.tensor(types, device=x.device),  # (triples,)
            relations=e,
        )

    def manifest(self) -> dict[str, Any]:
        """Which facts an edit was computed from, as plain JSON values."""
        return {
            "source": self.source,
            "triples": [list(triple) for triple in self.triples],
            "subject_facts": [list(triple) for triple in self.subject_facts],
            "incoming_walks": [[list(triple) for triple in walk] for walk in self.incoming_walks],
            "siblings": [[list(triple) for triple in facts] for facts in self.siblings],
            "partial": sorted(self.partial),
            "missing": sorted(self.missing),
            "left_out": self.left_out,
        }


def build_subgraph(
    graph: KnowledgeGraph,
    subject: str,
    relation: str,
    target: str,
    *,
    order: int = 2,
    max_edges: int = 20,
    per_relation: int = 3,
    edge_choice: EdgeChoice = "telling",
    incoming_hops: int = 0,
    incoming_relations: Collection[str] = (),
    siblings: int = 0,
    subject_label: str | None = None,
    target_label: str | None = None,
    relation_labels: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Subgraph:
    """Collect the facts around a new fact, breadth first from its object.

    The result depends on the arguments and the graph's content only. The subject is never expanded: its other
    facts (the old object among them) are not consequences of the new one.

    Args:
        graph: Where the facts come from; asked once per hop.
        subject: Item id of s, or its text.
        relation: Property id of r, or its text.
        target: Item id of o*, or its text; a text has no neighbours, so the new fact stands alone.
        order: 1 is the new fact alone, 2 adds the facts of o*, 3 those of their objects, and so on.
        max_edges: Most facts in the result, the new one included (the paper's m).
        per_relation: Most objects per entity and relation, so that no list fills the graph.
        edge_choice: "telling" takes facts of telling relations first, and no more than `per_relation` of one; "first"
            takes the first facts whatever their relation, as GLAME's released crawler does. Its order is that of a
            query's answer, which nobody can repeat; here it is that of property and item numbers.
        incoming_hops: Longest walk to the subject that is collected.
        incoming_relations: Relations that it may follow, and that lead to siblings.
        siblings: Most items of the subject's kind that are collected.
        subject_label: Text for s instead of the graph's label, e.g. the name as the prompt has it.
        target_label: Text for o*, likewise.
        relation_labels: Texts of properties for which the graph has no label.
        seed: 0 takes the objects with the smallest item numbers first; another seed draws them.

    Raises:
        ValueError: A limit below one.
        KnowledgeGraphError: The graph could not answer.
    """
    for name, value in (("order", order), ("max_edges", max_edges), ("per_relation", per_relation)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    asked = _Asked(graph)
    # 1. The new fact, and outwards from its object; the subject's own facts are asked for with the first.
    triples = [Triple(subject, relation, target)]
    expanded = {subject}
    frontier = [target] if is_entity_id(target) and target != subject else []
    facts = asked.facts([*frontier, *([subject] if is_entity_id(subject) else [])])
    own = [triple for triple in facts if triple.subject == subject and triple.relation != relation]
    left_out = 0
    for hop in range(order - 1):
        if not frontier or len(triples) >= max_edges:
            break
        if hop > 0:
            facts = asked.facts(frontier)
        expanded.update(frontier)
        fresh = [triple for triple in facts if triple.subject in frontier and triple not in triples]
        ranked = [
            _ranked(fresh, entity, per_relation, seed) if edge_choice == "telling" else _first(fresh, entity)
            for entity in frontier
        ]
        taken = in_turn(ranked)[: max_edges - len(triples)]
        left_out += len(fresh) - len(taken)
        triples += taken
        frontier = [end for end in dict.fromkeys(triple.object for triple in taken) if end not in expanded]
    nodes = tuple(dict.fromkeys(id for triple in triples for id in (triple.subject, triple.object)))
    # 2. What stands beside it: the subject's other facts, and walks that lead to the subject.
    subject_facts = tuple(_ranked(own, subject, per_relation, seed)[:max_edges])
    towards: tuple[IncomingWalk, ...] = ()
    if incoming_hops and is_entity_id(subject):
        towards = incoming_walks(graph, subject, hops=incoming_hops, relations=incoming_relations, seed=seed)
    alike: tuple[tuple[Triple, ...], ...] = ()
    if siblings and is_entity_id(subject):
        alike = sibling_facts(graph, subject, subject_facts, count=siblings, relations=incoming_relations, seed=seed)
    around = [*triples, *subject_facts, *(triple for facts in (*towards, *alike) for triple in facts)]
    given = {target: target_label, subject: subject_label}
    labels = _labels(graph, [part for triple in around for part in triple], given, relation_labels or {})
    return Subgraph(
        center=subject,
        target=target,
        nodes=nodes,
        relations=tuple(dict.fromkeys(triple.relation for triple in triples)),
        triples=tuple(triples),
        labels=labels,
        subject_facts=subject_facts,
        incoming_walks=towards,
        siblings=alike,
        partial=frozenset(asked.partial),
        missing=frozenset(asked.missing),
        left_out=left_out,
        source=", ".join(dict.fromkeys(asked.sources)),
    )


class _Asked:
    """A graph, and what it has said of its answers so far."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self._graph = graph
        self.sources: list[str] = []
        self.partial: set[str] = set()
        self.missing: set[str] = set()

    def facts(self, ids: Sequence[str]) -> list[Triple]:
        """The facts of some items, each once, without those about Wikimedia's own pages."""
        found = self._graph.neighbours(ids) if ids else Neighbourhood((), frozenset(), self._graph.name)
        self.sources.append(found.source)
        self.partial |= found.partial
        self.missing |= found.missing
        return [triple for triple in dict.fromkeys(found.triples) if triple.relation not in DROPPED]


def _ranked(triples: Iterable[Triple], entity: str, per_relation: int, seed: int) -> list[Triple]:
    """Facts of one entity: telling relations first, then by property number; a few objects of each."""

    def key(triple: Triple) -> tuple[int, tuple[str, int], str, tuple[str, int]]:
        preference = _PREFERENCE.get(triple.relation, len(PREFERRED))
        return preference, id_order(triple.relation), lot(triple, seed), id_order(triple.object)

    kept: list[Triple] = []
    used: dict[str, int] = {}
    for triple in sorted((triple for triple in triples if triple.subject == entity), key=key):
        used[triple.relation] = used.get(triple.relation, 0) + 1
        if used[triple.relation] <= per_relation:
            kept.append(triple)
    return kept


def _first(triples: Iterable[Triple], entity: str) -> list[Triple]:
    """Facts of one entity by property and item number."""
    own = (triple for triple in triples if triple.subject == entity)
    return sorted(own, key=lambda triple: (id_order(triple.relation), id_order(triple.object)))


def _labels(
    graph: KnowledgeGraph, ids: Sequence[str], given: Mapping[str, str | None], fallback: Mapping[str, str]
) -> dict[str, str]:
    """Text of each id: the given one, the graph's, the fallback, or the id itself, as for free text."""
    unique = list(dict.fromkeys(ids))
    stored = graph.labels([id for id in unique if is_entity_id(id) or is_relation_id(id)])
    labels = {}
    for id in unique:
        label = stored.get(id, id)
        labels[id] = given.get(id) or (label if label != id else fallback.get(id, id))
    return labels
