"""Walks that end at an edit's subject: which, in which order, and how many."""

from __future__ import annotations

from collections import Counter

from kg_cache.graph import Triple
from kgedit.graph.incoming_walks import MOST, in_turn, incoming_walks
from kgedit.graph.subgraph import build_subgraph

EVERY = ("P17", "P19", "P27", "P50")


def walk(text: str) -> tuple[Triple, ...]:
    return tuple(Triple(*part.split()) for part in text.split(";"))


def test_walks_end_at_the_subject_and_paths_take_turns(make_graph) -> None:
    graph = make_graph("Q5 P27 Q1; Q6 P27 Q1; Q7 P17 Q1; Q8 P19 Q7; Q1 P27 Q9; Q9 P17 Q4")
    assert incoming_walks(graph, "Q1", hops=1, relations=EVERY) == (
        walk("Q7 P17 Q1"), walk("Q5 P27 Q1"), walk("Q6 P27 Q1")
    )  # fmt: skip
    assert incoming_walks(graph, "Q1", hops=2, relations=EVERY) == (
        walk("Q7 P17 Q1"), walk("Q5 P27 Q1"), walk("Q8 P19 Q7; Q7 P17 Q1"), walk("Q6 P27 Q1")
    )  # fmt: skip
    assert incoming_walks(graph, "Q1", hops=2, relations=("P27",)) == (walk("Q5 P27 Q1"), walk("Q6 P27 Q1"))
    assert incoming_walks(graph, "Q404", hops=2, relations=EVERY) == ()


def test_no_walk_passes_an_item_twice(make_graph) -> None:
    graph = make_graph("Q1 P27 Q1; Q2 P17 Q1; Q1 P17 Q2; Q3 P17 Q2; Q2 P17 Q3")
    assert incoming_walks(graph, "Q1", hops=3, relations=EVERY) == (walk("Q2 P17 Q1"), walk("Q3 P17 Q2; Q2 P17 Q1"))


def test_a_hub_gives_a_few_of_each_path_and_a_seed_draws_others(make_graph) -> None:
    graph = make_graph("; ".join(f"Q{n} {r} Q1" for r in EVERY for n in range(100, 130)))
    found = incoming_walks(graph, "Q1", hops=1, relations=EVERY)
    assert set(Counter(steps[0].relation for steps in found).values()) == {8}
    assert found[0] == walk("Q100 P17 Q1")
    assert len(incoming_walks(graph, "Q1", hops=2, relations=EVERY)) <= MOST
    drawn = [incoming_walks(graph, "Q1", hops=1, relations=EVERY, seed=seed) for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert len(drawn[1]) == len(found)


def test_turns() -> None:
    assert in_turn([[1, 2, 3], [], [None], [4, 5]]) == [1, None, 4, 2, 5, 3]


def test_a_subgraph_keeps_them_beside_its_facts_when_it_is_asked_to(make_graph) -> None:
    graph = make_graph("Q5 P27 Q1; Q2 P17 Q3")
    asked = {"incoming_hops": 2, "incoming_relations": EVERY}
    found = build_subgraph(graph, "Q1", "P36", "Q2", **asked)
    assert found.incoming_walks == (walk("Q5 P27 Q1"),)
    assert {"Q5", "P27"} <= found.labels.keys()
    assert found.manifest()["incoming_walks"] == [[["Q5", "P27", "Q1"]]]
    plain = build_subgraph(graph, "Q1", "P36", "Q2")
    assert (plain.triples, plain.incoming_walks) == (found.triples, ())
    assert "Q5" not in plain.labels
    assert build_subgraph(graph, "my neighbour", "P36", "Q2", **asked).incoming_walks == ()
