"""ROME-KG and MEMIT-KG ("rome-kg", "memit-kg"): what follows from the graph is written as edits of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from families import tiny_model
from kgedit.errors import UnsupportedModel
from kgedit.methods.base import Computed, Request
from kgedit.methods.memit import Memit
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.methods.rome_kg import MemitKg, MemitKgConfig, RomeKg, RomeKgConfig, further_requests
from methods.benches import REQUESTS, bench, graph_of, state_of

REQUEST = Request("Marie Curie", "{} is a citizen of", "Poland", "P27")
GRAPH = graph_of("Marie Curie", "P27", "Poland", {"P36": "Tokyo", "P37": "Danish"}, own={"P19": "Ulm"})
FURTHER = [
    Request("Marie Curie", "The label of P36 of the label of P27 of {} is", "Tokyo"),
    Request("Marie Curie", "The label of P37 of the label of P27 of {} is", "Danish"),
]


def rome(**kwargs: Any) -> RomeKg:
    return RomeKg(RomeKgConfig(**{"layer": 1, "steps": 3, **kwargs}))


def memit(**kwargs: Any) -> MemitKg:
    return MemitKg(MemitKgConfig(**{"layers": (0, 1), "steps": 3, "moment_weight": 1.0, **kwargs}))


def same(one: Computed, other: Computed) -> None:
    assert one.delta.base_hash == other.delta.base_hash
    assert one.delta.id == other.delta.id


def plain(requests: list[Request]) -> list[tuple[Request, None]]:
    return [(request, None) for request in requests]


def test_each_path_becomes_an_edit_with_the_composed_prompt() -> None:
    """The subject's own other facts do not: they are no consequence of the edit."""
    model, tok = tiny_model("gpt2")
    assert further_requests(bench(model, tok, ()), REQUEST, GRAPH) == FURTHER
    assert further_requests(bench(model, tok, ()), REQUEST, None) == []


@pytest.mark.parametrize("label", ["", "a {} label", "x" * 400])
def test_what_cannot_be_written_is_left_out(label) -> None:
    """A missing label, one with a slot in it, and one that is longer than the context."""
    model, tok = tiny_model("gpt2")
    graph = graph_of("Marie Curie", "P27", "Poland", {"P36": "Tokyo", "P37": "Danish"})
    wrong = {"Q3": label} if "{}" not in label else {"P36": label}
    graph = type(graph)(**{**vars(graph), "labels": {**graph.labels, **wrong}})
    assert further_requests(bench(model, tok, ()), REQUEST, graph) == FURTHER[1:]


@pytest.mark.parametrize(("first", "order"), [("target", [REQUEST, *FURTHER]), ("graph", [*FURTHER, REQUEST])])
def test_rome_kg_is_the_published_rome_of_all_edits_one_after_another(first, order) -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, (1,))
    (found,) = rome(first=first).compute(work, [REQUEST], [GRAPH])
    (expected,) = Rome(RomeConfig(layer=1, steps=3, key="original")).together(work, [plain(order)])
    same(found, expected)
    assert found.delta.rank == 3
    parts = found.delta.manifest["parts"]["composed"]
    assert [part["manifest"]["settings"]["key"] for part in parts] == ["original"] * 3


def test_memit_kg_is_memit_of_all_edits_at_once() -> None:
    model, tok = tiny_model("gpt2")
    work, method = bench(model, tok, (0, 1)), memit()
    (found,) = method.compute(work, [REQUEST], [GRAPH])
    (expected,) = Memit(method.config).together(work, [plain([REQUEST, *FURTHER])])
    same(found, expected)
    assert found.delta.rank == 3


@pytest.mark.parametrize("method", [rome(), memit()], ids=lambda method: method.name)
def test_a_case_of_several_facts_is_written_fact_by_fact_with_its_graph(method) -> None:
    model, tok = tiny_model("gpt2")
    model.train()
    work, before = bench(model, tok, (0, 1), seed=5), state_of(model)
    case = [(REQUEST, GRAPH), (REQUESTS[1], None)]
    together, alone = method.together(work, [case, [(REQUESTS[2], None)]])
    inner = Rome(method.config) if isinstance(method, RomeKg) else Memit(method.config)
    (expected,) = inner.together(work, [plain([REQUEST, *FURTHER, REQUESTS[1]])])
    difference = together.delta.updates[0].dense() - expected.delta.updates[0].dense()
    assert float(difference.norm()) < 1e-4 * expected.delta.updates[0].norm()
    assert (together.delta.rank, alone.delta.rank) == (4, 1)
    said = "the graph adds no fact to this edit"
    assert (said in together.notes, said in alone.notes) == (False, True)
    assert state_of(model) == before
    manifest = json.loads(json.dumps(together.delta.manifest))
    assert (manifest["method"], manifest["edits"], manifest["seed"]) == (method.name, 4, 5)
    assert manifest["graphs"] == [GRAPH.manifest(), None]
    assert type(method.config).model_validate(manifest["settings"]) == method.config


@pytest.mark.parametrize("method", [rome(), memit()], ids=lambda method: method.name)
def test_nothing_to_do_and_an_interrupted_run_leave_no_trace(method) -> None:
    model, tok = tiny_model("mistral")
    before = state_of(model)
    assert method.together(bench(model, tok, (0, 1)), []) == []
    assert method.compute(bench(model, tok, (0, 1)), [], []) == []
    moments = dict.fromkeys((0, 1), None)  # found out late: when the first value is written
    broken = type(bench(model, tok, ()))(model, tok, moments, ("",))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        method.compute(broken, [REQUEST], [GRAPH])
    assert state_of(model) == before


def test_memit_kg_refuses_what_memit_refuses() -> None:
    model, tok = tiny_model("gemma2")
    with pytest.raises(UnsupportedModel, match="gemma2"):
        memit().compute(bench(model, tok, (0, 1)), [REQUEST], [GRAPH])


def test_settings() -> None:
    assert RomeKgConfig(layer=17).model_dump() == RomeConfig(layer=17, key="original").model_dump() | {
        "max_edges": 20,
        "edge_choice": "telling",
        "first": "target",
    }
    method = rome(max_edges=7)
    assert (method.name, method.moment_layers, method.uses_graph) == ("rome-kg", (1,), True)
    assert method.subgraph_options == {"order": 2, "max_edges": 7, "edge_choice": "telling"}
    assert (memit().name, memit().moment_layers, memit().subgraph_options["max_edges"]) == ("memit-kg", (0, 1), 20)
