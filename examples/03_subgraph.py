"""What an edit would have to carry along: the subgraph that GLAME reads, and the two-hop paths in it.

.venv/bin/python examples/03_subgraph.py
"""

from __future__ import annotations

from kg_cache.bundled import bundled_store
from kgedit.graph.subgraph import build_subgraph


def main() -> None:
    """Runs the example."""
    graph = bundled_store()
    subject = graph.resolve("Albert Einstein").id
    relation = graph.resolve_relation("country of citizenship").id
    target = graph.resolve("France").id

    subgraph = build_subgraph(graph, subject, relation, target)
    labels = graph.labels([*subgraph.nodes, *subgraph.relations])
    print(f"{len(subgraph.triples)} facts, the new one first:")
    for triple in subgraph.triples:
        print("    " + " -> ".join(labels[part] for part in triple))

    print("\nwhat follows from it:")
    for path in subgraph.paths():
        print("    " + " -> ".join(labels[part] for part in path))

    drawn = subgraph.to_networkx()
    print(f"\nas a networkx graph: {drawn.number_of_nodes()} nodes, {drawn.number_of_edges()} edges")


if __name__ == "__main__":
    main()
