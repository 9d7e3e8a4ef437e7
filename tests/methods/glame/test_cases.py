"""GLAME on cases of several edits: one write, and graphs that know of each other's changes."""

from __future__ import annotations

from families import tiny_model
from kgedit.methods.base import Request
from kgedit.methods.glame.consequences import associated_paths, other_facts
from kgedit.methods.glame.method import Glame
from methods.benches import bench, graph_of
from methods.glame.test_method import GRAPH, REQUEST, TEXT, config


def test_what_one_edit_of_a_case_changes_counts_in_the_graph_of_the_other() -> None:
    model, tok = tiny_model("gpt2")
    onward = Request("Japan", "The capital of {} is", "Kyoto", "P36")
    asked: list[tuple[str, str]] = []

    class Listening(Glame):
        def _objective(self, bench, request, subgraph, changes, wordings, further=()):
            asked.extend(associated_paths(bench.model, bench.tokenizer, subgraph, TEXT, changes))
            asked.extend(further)
            return super()._objective(bench, request, subgraph, changes, wordings, further)

    settings, place = config(layers=(0, 2), inverse=False), bench(model, tok, (0, 2))
    after = graph_of("Japan", "P36", "Kyoto", {})
    (both,) = Listening(settings).together(place, [[(REQUEST, GRAPH), (onward, after)]])
    capital = {label for template, label in asked if "capital" in template}
    assert capital == {"Kyoto"}
    assert both.delta.rank == 2
    assert len(both.delta.manifest["edits"]) == 2
    facts = other_facts(GRAPH, TEXT, {("Marie Curie", "P106"): "chemistry"})
    assert {label for _, label in facts} == {"Ulm"}


def test_cases_of_one_edit_are_single_edits() -> None:
    model, tok = tiny_model("gpt2")
    method, place = Glame(config()), bench(model, tok, (1,))
    single = method.compute(place, [REQUEST, REQUEST], [GRAPH, None])
    cases = method.together(place, [[(REQUEST, GRAPH)], [(REQUEST, None)]])
    assert [computed.delta.id for computed in cases] == [computed.delta.id for computed in single]
