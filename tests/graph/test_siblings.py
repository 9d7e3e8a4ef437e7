"""Items of the subject's kind: which, in which order, and what leads to them."""

from __future__ import annotations

from collections.abc import Callable

from kg_cache.graph import Triple
from kg_cache.store import Store
from kgedit.graph.siblings import sibling_facts
from kgedit.graph.subgraph import build_subgraph

Made = Callable[[str], Store]
LEADING = ("P17", "P19", "P27")


def facts(text: str) -> tuple[Triple, ...]:
    return tuple(Triple(*part.split()) for part in text.split(";"))


OWN = "Q1 P30 Q46; Q1 P31 Q6256"
OTHERS = "Q2 P30 Q46; Q3 P30 Q46; Q3 P31 Q6256; Q4 P30 Q15; Q46 P31 Q6256; Q5 P31 Q46"


def test_those_that_share_most_facts_come_first(make_graph: Made) -> None:
    graph = make_graph(f"{OWN}; {OTHERS}")
    found = sibling_facts(graph, "Q1", facts(OWN), count=9, relations=LEADING)
    assert found == (facts("Q3 P30 Q46"), facts("Q2 P30 Q46"), facts("Q46 P31 Q6256"))
    assert sibling_facts(graph, "Q1", facts(OWN), count=1, relations=LEADING) == found[:1]
    assert sibling_facts(graph, "Q1", (), count=9, relations=LEADING) == ()
    assert sibling_facts(graph, "Q404", facts("Q404 P30 Q404"), count=9, relations=LEADING) == ()


def test_with_each_come_facts_that_lead_to_it_of_different_relations_but_none_of_the_subject(make_graph: Made) -> None:
    graph = make_graph(
        f"{OWN}; {OTHERS}; Q10 P27 Q3; Q11 P27 Q3; Q12 P50 Q3; Q1 P17 Q3; Q13 P19 Q3; Q14 P17 Q3; Q9 P27 Q2"
    )
    found = sibling_facts(graph, "Q1", facts(OWN), count=2, relations=LEADING)
    assert found == (facts("Q3 P30 Q46; Q14 P17 Q3; Q13 P19 Q3"), facts("Q2 P30 Q46; Q9 P27 Q2"))


def test_a_subgraph_has_them_and_their_labels_where_they_are_wanted(make_graph: Made) -> None:
    graph = make_graph(f"{OWN}; {OTHERS}; Q9 P27 Q2")
    plain = build_subgraph(graph, "Q1", "P36", "Q7")
    assert plain.siblings == ()
    found = build_subgraph(graph, "Q1", "P36", "Q7", siblings=2, incoming_relations=LEADING)
    assert found.siblings == (facts("Q3 P30 Q46"), facts("Q2 P30 Q46; Q9 P27 Q2"))
    assert {"Q2", "Q3", "Q9", "P27"} <= found.labels.keys()
    assert (found.nodes, found.triples) == (plain.nodes, plain.triples), "they are no part of the graph"
    assert found.turned("P1376", "capital of").siblings == ()
