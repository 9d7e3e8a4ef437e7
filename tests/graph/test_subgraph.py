"""What belongs to the subgraph of an edit, in which order, and what is said about the rest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import networkx as nx
import pytest
import torch

from kg_cache.bundled import bundled_store
from kg_cache.graph import Entity, Neighbourhood, Relation, Triple
from kg_cache.store import Fetched, Store
from kgedit.graph.subgraph import PREFERRED, Subgraph, TwoHops, build_subgraph

S, R, O = "Q1", "P27", "Q2"  # noqa: E741


def facts(text: str) -> list[Triple]:
    """ "Q2 P36 Q3; Q2 P17 Q4" as triples."""
    return [Triple(*part.split()) for part in text.split(";")]


class Graph(Store):
    """A real store that also records what it was asked."""

    asked: list[list[str]]

    def neighbours(self, ids: Sequence[str], *, limit: int = 500) -> Neighbourhood:
        self.asked.append(list(ids))
        return super().neighbours(ids, limit=limit)


@pytest.fixture
def make_graph(tmp_path: Path) -> Iterator:
    opened = []

    def make(triples: Sequence[Triple] | str, *, labels=(), fetched=()) -> Graph:
        triples = facts(triples) if isinstance(triples, str) else triples
        graph = Graph(tmp_path / f"graph{len(opened)}.sqlite", name="test graph")
        graph.asked = []
        entities = [Entity(id=id, label=label) for id, label in labels if id[0] == "Q"]
        relations = [Relation(id=id, label=label) for id, label in labels if id[0] == "P"]
        graph.add(triples, entities, "test", relations=relations, fetched=fetched)
        graph.add(triples, source="test")  # `fetched` clears the claims of an item first
        opened.append(graph)
        return graph

    yield make
    for graph in opened:
        graph.close()


def test_the_new_fact_comes_first_then_what_is_known_of_its_object(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3; Q2 P30 Q4; Q3 P17 Q5; Q9 P36 Q3")
    found = build_subgraph(graph, S, R, O)
    assert found.triples == (Triple(S, R, O), Triple(O, "P36", "Q3"), Triple(O, "P30", "Q4"))
    assert found.nodes == (S, O, "Q3", "Q4")
    assert found.relations == (R, "P36", "P30")
    assert (found.center, found.target, found.left_out, found.source) == (S, O, 0, "test graph")


@pytest.mark.parametrize(("order", "edges"), [(1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_the_order_is_the_number_of_hops(make_graph, order, edges) -> None:
    graph = make_graph("Q2 P36 Q3; Q3 P17 Q4; Q4 P30 Q5")
    assert len(build_subgraph(graph, S, R, O, order=order).triples) == edges


def test_one_question_per_hop_however_many_entities(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3; Q2 P30 Q4; Q3 P17 Q5; Q4 P361 Q6")
    build_subgraph(graph, S, R, O, order=3)
    assert graph.asked == [[O, S], ["Q3", "Q4"]]


def test_the_old_object_and_other_facts_of_the_subject_are_not_part_of_it(make_graph) -> None:
    """Also not when the walk comes back to the subject."""
    graph = make_graph("Q1 P27 Q7; Q1 P108 Q8; Q2 P6 Q1; Q7 P36 Q9")
    found = build_subgraph(graph, S, R, O, order=4)
    assert found.triples == (Triple(S, R, O), Triple(O, "P6", S))


def test_the_subjects_facts_under_other_relations_are_kept_aside(make_graph) -> None:
    graph = make_graph(
        "Q1 P27 Q7; Q1 P27 Q2; Q1 P108 Q8; Q1 P19 Q9; Q1 P910 Q3", labels=[("Q8", "CERN"), ("Q9", "Ulm")]
    )
    found = build_subgraph(graph, S, R, O)
    assert found.other_facts() == ((Triple(S, "P108", "Q8"), "CERN"), (Triple(S, "P19", "Q9"), "Ulm"))
    assert found.triples == (Triple(S, R, O),)
    assert "Q8" not in found.nodes


def test_wikimedia_bookkeeping_is_dropped_by_exact_id_not_by_prefix(make_graph) -> None:
    graph = make_graph("Q2 P910 Q3; Q2 P1423 Q4; Q2 P9100 Q5; Q2 P91 Q6; Q2 P14230 Q7")
    found = build_subgraph(graph, S, R, O)
    assert [triple.relation for triple in found.triples[1:]] == ["P91", "P9100", "P14230"]
    assert found.left_out == 0


def test_telling_relations_first_then_by_number_and_few_objects_of_each(make_graph) -> None:
    graph = make_graph("Q2 P9 Q3; Q2 P10 Q3; Q2 P27 Q3; Q2 P30 Q5; Q2 P17 Q30; Q2 P17 Q4; Q2 P17 Q200; Q2 P17 Q1000")
    found = build_subgraph(graph, S, R, O)
    assert [" ".join(triple[1:]) for triple in found.triples[1:]] == [
        "P17 Q4", "P17 Q30", "P17 Q200", "P30 Q5", "P27 Q3", "P9 Q3", "P10 Q3",
    ]  # fmt: skip
    assert found.left_out == 1
    assert len(set(PREFERRED)) == len(PREFERRED)


def test_the_first_facts_whatever_their_relation_as_the_released_crawler_takes_them(make_graph) -> None:
    """P31 before P36, which is more telling, and all four of its objects."""
    graph = make_graph("Q2 P36 Q3; Q2 P31 Q7; Q2 P31 Q4; Q2 P31 Q6; Q2 P31 Q5")
    found = build_subgraph(graph, S, R, O, edge_choice="first", max_edges=5)
    assert found.triples[1:] == tuple(Triple(O, "P31", f"Q{number}") for number in (4, 5, 6, 7))
    assert found.left_out == 1


def test_the_budget_counts_the_new_fact_and_what_was_left_out_is_said(make_graph) -> None:
    graph = make_graph([Triple(O, f"P{i}", f"Q{i}") for i in range(100, 150)])
    for budget in (1, 2, 20, 51, 60):
        found = build_subgraph(graph, S, R, O, max_edges=budget)
        assert len(found.triples) == min(budget, 51)
        assert found.left_out == (max(0, 51 - budget) if budget > 1 else 0)
        assert found.triples[0] == Triple(S, R, O)


def test_a_farther_hop_shares_its_budget_between_entities(make_graph) -> None:
    hub = [Triple("Q3", f"P{i}", f"Q{i}") for i in range(100, 140)]
    graph = make_graph([Triple(O, "P36", "Q3"), Triple(O, "P30", "Q4"), Triple("Q4", "P17", "Q5"), *hub])
    found = build_subgraph(graph, S, R, O, order=3, max_edges=6)
    assert Triple("Q4", "P17", "Q5") in found.triples


def test_a_hub_is_bounded_and_recorded_as_partial(make_graph) -> None:
    graph = make_graph([Triple(O, "P150", f"Q{i}") for i in range(1000, 3000)])
    found = build_subgraph(graph, S, R, O, per_relation=5)
    assert len(found.triples) == 6
    assert found.partial == {O}
    assert found.left_out == 495  # of the 500 that the graph gives of any one item


def test_what_was_fetched_in_part_or_is_unknown_is_said(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3; Q3 P17 Q4", fetched=[Fetched("Q3", "partial", cut=7)])
    found = build_subgraph(graph, S, R, O, order=3)
    assert found.partial == {"Q3"}
    assert found.missing == {S}
    assert build_subgraph(graph, S, R, O, order=2).partial == frozenset()


def test_cycles_and_self_loops_end(make_graph) -> None:
    graph = make_graph("Q2 P47 Q3; Q3 P47 Q2; Q2 P361 Q2; Q3 P6 Q1; Q1 P27 Q2; Q1 P19 Q3")
    found = build_subgraph(graph, S, R, O, order=10, max_edges=100)
    assert set(found.triples) == {
        Triple(S, R, O), Triple(O, "P47", "Q3"), Triple("Q3", "P47", O), Triple(O, "P361", O),
        Triple("Q3", "P6", S),
    }  # fmt: skip
    assert len(found.triples) == len(set(found.triples))
    assert graph.asked == [[O, S], ["Q3"]]


def test_an_edit_that_points_at_its_own_subject(make_graph) -> None:
    found = build_subgraph(make_graph("Q1 P36 Q3"), S, R, S)
    assert found.triples == (Triple(S, R, S),)
    assert found.nodes == (S,)
    assert found.paths() == ()
    assert found.to_pyg(torch.ones(1, 4), torch.ones(1, 4)).edge_index.tolist() == [[0], [0]]


@pytest.mark.parametrize("target", ["a country that does not exist", "Q0", "Q02", "Ｑ２", "q2", "P27"])
def test_a_free_text_target_gives_the_new_fact_alone(make_graph, target) -> None:
    graph = make_graph("Q2 P36 Q3")
    found = build_subgraph(graph, S, R, target, order=3)
    assert found.triples == (Triple(S, R, target),)
    assert found.target_label == target
    assert graph.asked == [[S]]


def test_free_text_all_over(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3", labels=[("Q2", "France"), ("P36", "capital")])
    found = build_subgraph(graph, "my neighbour", "lives in", O)
    assert found.node_labels == ("my neighbour", "France", "Q3")
    assert found.relation_labels == ("lives in", "capital")
    alone = build_subgraph(graph, "my neighbour", "lives in", "a house")
    assert alone.node_labels == ("my neighbour", "a house")


def test_an_object_the_graph_does_not_know(make_graph) -> None:
    found = build_subgraph(make_graph("Q1 P19 Q3"), S, R, "Q999")
    assert found.triples == (Triple(S, R, "Q999"),)
    assert found.missing == {"Q999"}
    assert found.target_label == "Q999"


def test_given_labels_replace_those_of_the_graph(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3", labels=[("Q1", "A. Einstein"), ("Q2", "French Republic"), ("P27", "citizen of")])
    found = build_subgraph(graph, S, R, O, subject_label="Albert Einstein", target_label="France")
    assert (found.subject_label, found.target_label) == ("Albert Einstein", "France")
    assert found.node_labels == ("Albert Einstein", "France", "Q3")
    assert found.relation_labels == ("citizen of", "P36")


def test_homonyms_stay_apart(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3; Q2 P6 Q4", labels=[("Q3", "Paris"), ("Q4", "Paris")])
    found = build_subgraph(graph, S, R, O)
    assert found.node_labels[2:] == ("Paris", "Paris")
    assert len(found.nodes) == 4


def test_the_order_in_which_the_graph_answers_does_not_matter(make_graph) -> None:
    triples = [Triple(O, f"P{p}", f"Q{q}") for p in (17, 150, 36, 9) for q in range(10, 16)]
    one = build_subgraph(make_graph(triples), S, R, O, max_edges=9)
    other = build_subgraph(make_graph(triples[::-1]), S, R, O, max_edges=9)
    assert one == other


def test_a_seed_draws_other_objects_reproducibly(make_graph) -> None:
    graph = make_graph([Triple(O, "P150", f"Q{i}") for i in range(10, 60)])
    results = [build_subgraph(graph, S, R, O, seed=seed) for seed in (0, 1, 2, 1)]
    assert [triple.object for triple in results[0].triples[1:]] == ["Q10", "Q11", "Q12"]
    assert results[1] == results[3]
    assert len({result.triples for result in results}) == 3


def test_a_lying_graph_cannot_add_facts_of_others() -> None:
    class Liar:
        name = "liar"

        def neighbours(self, ids, *, limit=500):
            return Neighbourhood(tuple(facts("Q2 P36 Q3; Q1 P27 Q7; Q9 P17 Q8; Q2 P36 Q3")), frozenset(), "liar")

        def labels(self, ids):
            return {}

    found = build_subgraph(Liar(), S, R, O)
    assert found.triples == (Triple(S, R, O), Triple(O, "P36", "Q3"))
    assert found.left_out == 0


@pytest.mark.parametrize("name", ["order", "max_edges", "per_relation"])
def test_limits_below_one(make_graph, name) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        build_subgraph(make_graph("Q2 P36 Q3"), S, R, O, **{name: 0})


def test_paths_follow_the_order_of_the_triples_and_never_return(make_graph) -> None:
    graph = make_graph("Q2 P17 Q9; Q2 P36 Q3; Q2 P30 Q9; Q2 P6 Q1; Q2 P361 Q2; Q3 P131 Q5")
    found = build_subgraph(graph, S, R, O, order=3)
    assert found.paths() == (
        TwoHops(S, R, O, "P17", "Q9"), TwoHops(S, R, O, "P36", "Q3"), TwoHops(S, R, O, "P30", "Q9"),
    )  # fmt: skip


def test_the_networkx_view_is_the_graph(make_graph) -> None:
    found = build_subgraph(make_graph("Q2 P36 Q3; Q2 P17 Q3", labels=[("P36", "capital")]), S, R, O)
    graph = found.to_networkx()
    edges = sorted(graph.edges(keys=True, data="order"), key=lambda edge: edge[3])
    assert [Triple(s, key, o) for s, o, key, _ in edges] == list(found.triples)
    assert list(graph) == list(found.nodes)
    assert graph[O]["Q3"]["P36"]["label"] == "capital"
    assert nx.descendants(graph, S) == {O, "Q3"}


def test_tensors_point_from_object_to_subject(make_graph) -> None:
    found = build_subgraph(make_graph("Q2 P36 Q3; Q2 P17 Q4; Q3 P36 Q4"), S, R, O, order=3)
    x, e = torch.randn(4, 5), torch.randn(3, 5)
    data = found.to_pyg(x, e)
    back = [
        Triple(found.nodes[subject], found.relations[kind], found.nodes[object_])
        for (object_, subject), kind in zip(data.edge_index.T.tolist(), data.edge_type.tolist(), strict=True)
    ]
    assert back == list(found.triples)
    assert found.nodes[0] == S
    assert torch.equal(data.x, x)
    assert torch.equal(data.relations, e)
    data.validate()


@pytest.mark.parametrize(("nodes", "relations", "d"), [(3, 2, 5), (2, 3, 5), (3, 3, 5)])
def test_vectors_that_do_not_fit_are_refused(make_graph, nodes, relations, d) -> None:
    found = build_subgraph(make_graph("Q2 P36 Q3"), S, R, O)
    if (nodes, relations) == (3, 2):
        d += 1
    with pytest.raises(ValueError, match="3 nodes and 2 relations"):
        found.to_pyg(torch.ones(nodes, 5), torch.ones(relations, d))


def test_the_manifest_is_plain_json(make_graph) -> None:
    found = build_subgraph(make_graph("Q2 P36 Q3; Q1 P19 Q4"), S, R, O)
    manifest = json.loads(json.dumps(found.manifest()))
    assert manifest["triples"] == [[S, R, O], [O, "P36", "Q3"]]
    assert manifest["subject_facts"] == [[S, "P19", "Q4"]]


def test_it_is_frozen_and_can_be_compared_and_hashed(make_graph) -> None:
    graph = make_graph("Q2 P36 Q3")
    one, other = build_subgraph(graph, S, R, O), build_subgraph(graph, S, R, O)
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.target = "Q7"
    assert isinstance(one, Subgraph)


def test_real_facts_of_the_bundled_snapshot() -> None:
    graph = bundled_store()
    found = build_subgraph(graph, graph.resolve("Albert Einstein").id, "P27", graph.resolve("France").id)
    assert found.subject_label == "Albert Einstein"
    assert len(found.triples) == 20
    assert "Europe" in {found.labels[path.object] for path in found.paths() if path.second == "P30"}
    assert all(triple.relation != "P27" for triple, _ in found.other_facts())
    assert "Ulm" in {label for triple, label in found.other_facts() if triple.relation == "P19"}
