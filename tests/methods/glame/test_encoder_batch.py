"""Encoders that run together give what each gives by itself: vectors, gradients, dropout and trained offsets."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch_geometric.data import Data

from kgedit.methods.engine.value import Offsets, OneByOne
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.encoder import RelationalEncoder
from kgedit.methods.glame.encoder_batch import EncoderBatch
from kgedit.methods.glame.offset import GraphOffset, OffsetBatch
from methods.glame.test_encoder import random_graph

SETTINGS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["rgnn", "gnn", "mlp"]),
        "aggregation": st.sampled_from(["sum", "mean"]),
        "self_loops": st.sampled_from(["none", "zero", "published"]),
        "dropout": st.sampled_from([0.0, 0.4]),
        "dropout_last": st.booleans(),
        "layers": st.integers(1, 3),
    }
)
SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(kwargs=SETTINGS, sizes=SIZES, seed=st.integers(0, 1000))
def test_vectors_gradients_and_dropout_are_those_of_each(kwargs, sizes, seed) -> None:
    graphs = [random_graph(seed + n, nodes=nodes, edges=edges) for n, (nodes, edges) in enumerate(sizes)]
    for graph in graphs:  # so that what differs is more than rounding
        graph.x, graph.relations = graph.x.double(), graph.relations.double()
    alone = [RelationalEncoder(5, seed=seed + number, **kwargs).double().train() for number in range(len(graphs))]
    shared = copy.deepcopy(alone)
    batch = EncoderBatch(shared, graphs)
    for _ in range(2):  # the second time the generators have gone on
        found = batch()
        for number, (encoder, graph) in enumerate(zip(alone, graphs, strict=True)):
            expected = encoder(graph)
            assert_close(found[number, : len(expected)], expected, rtol=1e-9, atol=1e-9)
            expected[0].square().sum().backward()
        found[:, 0].square().sum().backward()
    for one, other in zip(alone, shared, strict=True):
        for mine, batched in zip(one.parameters(), other.parameters(), strict=True):
            assert_close(batched.grad, mine.grad, rtol=1e-9, atol=1e-9)


def offsets(config: GlameConfig) -> list[GraphOffset]:
    """Of four edits, the third of which has no graph."""
    made = []
    for number in range(4):
        graph: Data | None = random_graph(number, nodes=3 + number, d=8) if number != 2 else None
        encoder = RelationalEncoder(8, dropout=config.dropout, seed=number) if graph is not None else None
        base = torch.randn(2, 8, generator=torch.Generator().manual_seed(number))
        made.append(GraphOffset(config, base, encoder, graph))
    return made


@pytest.mark.parametrize("published", [True, False])
def test_offsets_that_are_trained_together_end_where_each_would(published) -> None:
    """Four edits, of which one takes no step after the second."""
    config = GlameConfig.paper(layers=(1, 2)) if published else GlameConfig(layers=(1, 2), repr_layer=0)
    goal = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(9))
    alone, shared = offsets(config), offsets(config)
    ways: list[Offsets] = [OneByOne(alone), OffsetBatch(shared)]
    for step in range(5):
        # Edit 1 is still computed when it takes no more steps, then it is not.
        running = [0, 1, 2, 3] if step < 4 else [0, 2, 3]
        going = [number for number in running if step < 2 or number != 1]
        for way in ways:
            apart = torch.stack(list(way.current(running, step))) - goal[running]  # (edits, layers, d)
            losses = dict(zip(running, apart.square().sum(dim=(1, 2)), strict=True))
            torch.stack([losses[number] for number in going]).sum().backward()
            way.update({number: losses[number].item() for number in going})
    for one, other in zip(alone, shared, strict=True):
        assert_close(other.final(), one.final(), rtol=1e-3, atol=1e-3)
        assert one.final().abs().max() > 0.01
