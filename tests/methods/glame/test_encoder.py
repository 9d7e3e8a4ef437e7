"""The relational encoder against hand-made numbers and the properties that its equation has."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from kgedit.methods.glame.encoder import RelationalEncoder

LEAK = 11 / 48  # (1/8 + 1/3) / 2


def hand_made(**kwargs) -> RelationalEncoder:
    """Two layers of width 2 whose weights are small integers."""
    encoder = RelationalEncoder(2, layers=kwargs.pop("layers", 2), **kwargs)
    weights = [([[1, 2], [0, -1]], [[0, 1], [1, 0]]), ([[1, 0], [0, 1]], [[-1, 0], [0, -1]])]
    with torch.no_grad():
        for layer, (neighbour, own) in zip(encoder.layers, weights, strict=False):
            layer.own.copy_(torch.tensor(own))
            if layer.neighbour is not None:
                layer.neighbour.copy_(torch.tensor(neighbour))
    return encoder


def chain() -> Data:
    """(s, r0, o), (o, r1, p): messages o -> s and p -> o."""
    return Data(
        x=torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
        edge_index=torch.tensor([[1, 2], [0, 1]]),
        edge_type=torch.tensor([0, 1]),
        relations=torch.tensor([[1.0, -1.0], [0.0, 1.0]]),
    )


def random_graph(seed: int, *, nodes=7, edges=12, relations=3, d=5) -> Data:
    generator = torch.Generator().manual_seed(seed)
    return Data(
        x=torch.randn(nodes, d, generator=generator),
        edge_index=torch.randint(nodes, (2, edges), generator=generator),  # with self-loops and repeats
        edge_type=torch.randint(relations, (edges,), generator=generator),
        relations=torch.randn(relations, d, generator=generator),
    )


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        # Layer 1 gives s (1, 2), o (3, 0), p (1, 1).
        ({}, [[3, -3 * LEAK], [-2 * LEAK, 2], [-LEAK, -LEAK]]),
        # Without e: s (0, 2) W_n + (0, 1) = (0, -1), o (1, 1) W_n + (2, 0) = (3, 1), p (1, 1).
        ({"kind": "gnn", "layers": 1}, [[0, -LEAK], [3, 1], [1, 1]]),
        # W_s alone swaps the coordinates, then negates.
        ({"kind": "mlp"}, [[0, -LEAK], [-2 * LEAK, 0], [-LEAK, -LEAK]]),
        # s hears o + e0 = (1, 1) and itself + e1 = (1, 1); o hears (1, 2) and (0, 3); p hears (1, 2).
        (
            {"layers": 1, "aggregation": "mean", "self_loops": "published"},
            [[1, 2], [2.5, -1.5 * LEAK], [2, 1]],
        ),
        # s hears (1, 1) and itself (1, 0): mean (1, 0.5).
        ({"layers": 1, "aggregation": "mean", "self_loops": "zero"}, [[1, 2.5], [2.5, -1 * LEAK], [2, 2]]),
    ],
    ids=["rgnn", "gnn", "mlp", "published", "zero"],
)
def test_three_nodes_by_hand(kwargs, expected) -> None:
    with torch.no_grad():
        found = hand_made(**kwargs).eval()(chain())
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-6, atol=1e-6)


def test_published_self_loops_fall_back_to_the_only_relation() -> None:
    """The released code would index out of range here; s hears o + e0 and itself + e0."""
    data = chain()
    data.edge_index, data.edge_type = torch.tensor([[1], [0]]), torch.tensor([0])
    data.relations = data.relations[:1]
    encoder = hand_made(layers=1, aggregation="mean", self_loops="published").eval()
    torch.testing.assert_close(encoder(data)[0], torch.tensor([1.5, 4.0]))


SETTINGS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["rgnn", "gnn", "mlp"]),
        "aggregation": st.sampled_from(["sum", "mean"]),
        "self_loops": st.sampled_from(["none", "zero"]),
        "layers": st.integers(1, 3),
    }
)


@settings(max_examples=60, deadline=None)
@given(kwargs=SETTINGS, seed=st.integers(0, 1000))
def test_the_order_of_nodes_edges_and_relations_does_not_matter(kwargs, seed) -> None:
    data = random_graph(seed)
    encoder = RelationalEncoder(5, **kwargs).eval()
    generator = torch.Generator().manual_seed(seed)
    nodes, edges, relations = (torch.randperm(n, generator=generator) for n in (7, 12, 3))
    place, new_type = torch.argsort(nodes), torch.argsort(relations)
    shuffled = Data(
        x=data.x[nodes],
        edge_index=place[data.edge_index][:, edges],
        edge_type=new_type[data.edge_type][edges],
        relations=data.relations[relations],
    )
    with torch.no_grad():
        torch.testing.assert_close(encoder(shuffled), encoder(data)[nodes], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layers", "reaches"), [(1, False), (2, True), (3, True)])
def test_the_objects_neighbours_reach_the_subject_in_two_layers(layers, reaches) -> None:
    data, cut = chain(), chain()
    cut.edge_index, cut.edge_type = cut.edge_index[:, :1], cut.edge_type[:1]
    encoder = RelationalEncoder(2, layers=layers).eval()
    with torch.no_grad():
        assert torch.equal(encoder(data)[0], encoder(cut)[0]) is not reaches


def test_facts_are_heard_by_their_subject_only() -> None:
    """Changing s changes nothing at o: messages do not go back."""
    data, other = chain(), chain()
    other.x = other.x.clone()
    other.x[0] += 1
    encoder = RelationalEncoder(2).eval()
    with torch.no_grad():
        assert torch.equal(encoder(data)[1:], encoder(other)[1:])
        assert not torch.equal(encoder(data)[0], encoder(other)[0])


@pytest.mark.parametrize("self_loops", ["none", "zero", "published"])
@pytest.mark.parametrize("aggregation", ["sum", "mean"])
def test_without_relation_vectors_the_rgnn_is_the_gnn(aggregation, self_loops) -> None:
    data = random_graph(3)
    kwargs = {"aggregation": aggregation, "self_loops": self_loops}
    rgnn = RelationalEncoder(5, kind="rgnn", **kwargs).eval()
    gnn = RelationalEncoder(5, kind="gnn", **kwargs).eval()
    with torch.no_grad():
        assert not torch.allclose(rgnn(data), gnn(data), atol=1e-2)
        data.relations = torch.zeros_like(data.relations)
        assert torch.equal(rgnn(data), gnn(data))


def test_the_mlp_sees_no_graph() -> None:
    data, empty = random_graph(1), random_graph(1)
    empty.edge_index, empty.edge_type = torch.empty(2, 0, dtype=torch.long), torch.empty(0, dtype=torch.long)
    encoder = RelationalEncoder(5, kind="mlp").eval()
    assert torch.equal(encoder(data), encoder(empty))
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 2 * 5 * 5


def test_a_node_that_hears_nobody_keeps_its_own_part() -> None:
    data = chain()
    encoder = hand_made(layers=1, aggregation="mean").eval()
    torch.testing.assert_close(encoder(data)[2], torch.tensor([1.0, 1.0]))


def test_seeds_decide_the_weights_whatever_the_global_state() -> None:
    torch.manual_seed(1)
    first = RelationalEncoder(5, seed=3)
    torch.manual_seed(2)
    second, third = RelationalEncoder(5, seed=3), RelationalEncoder(5, seed=4)
    for one, other, different in zip(*(e.parameters() for e in (first, second, third)), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, different)


def test_weights_are_xavier_uniform_with_gain_sqrt_two() -> None:
    encoder = RelationalEncoder(64)
    bound = math.sqrt(2) * math.sqrt(6 / 128)
    assert len(list(encoder.parameters())) == 4
    for parameter in (parameter.detach() for parameter in encoder.parameters()):
        assert 0.97 * bound < float(parameter.abs().max()) <= bound
        assert float(parameter.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_nothing_touches_the_global_random_state() -> None:
    before = torch.get_rng_state()
    encoder = RelationalEncoder(5, dropout=0.5, dropout_last=True).train()
    encoder(random_graph(0)).sum().backward()
    copy.deepcopy(encoder)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_reproducible_and_only_in_training() -> None:
    data = random_graph(0)
    one, other = (RelationalEncoder(5, dropout=0.5, seed=7).train() for _ in range(2))
    draws = [one(data) for _ in range(3)]
    torch.rand(5)  # the global state is of no consequence
    assert all(torch.equal(draw, other(data)) for draw in draws)
    assert not torch.equal(draws[0], draws[1])
    one.eval()
    assert torch.equal(one(data), one(data))


@pytest.mark.parametrize("last", [True, False])
def test_dropout_on_the_result_itself_is_the_published_setting_only(last) -> None:
    data = random_graph(0, nodes=50, edges=200, d=20)
    z = RelationalEncoder(20, dropout=0.4, dropout_last=last).train()(data)
    share = float((z == 0).float().mean())
    assert share == pytest.approx(0.4 if last else 0.0, abs=0.05)


def test_dropout_keeps_the_mean() -> None:
    data = random_graph(0)
    encoder = RelationalEncoder(5, layers=1, dropout=0.3, dropout_last=True)
    mean = torch.stack([encoder.train()(data) for _ in range(4000)]).mean(dim=0)
    torch.testing.assert_close(mean, encoder.eval()(data), rtol=0.15, atol=0.15)


def test_a_copy_draws_what_the_original_would_have_drawn() -> None:
    data = random_graph(0)
    encoder = RelationalEncoder(5, dropout=0.5).train()
    encoder(data)
    twin = copy.deepcopy(encoder)
    assert torch.equal(twin(data), encoder(data))


def test_only_its_own_weights_are_trained() -> None:
    data = random_graph(0)
    encoder = RelationalEncoder(5)
    encoder(data)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert data.x.grad is None


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"kind": "gcn"}, "rgnn, gnn, mlp"),
        ({"aggregation": "max"}, "sum, mean"),
        ({"self_loops": "yes"}, "none, zero, published"),
        ({"layers": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_settings_that_do_not_exist(kwargs, words) -> None:
    with pytest.raises(ValueError, match=words):
        RelationalEncoder(5, **kwargs)


def test_vectors_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match="width 6.*5"):
        RelationalEncoder(6)(random_graph(0))
