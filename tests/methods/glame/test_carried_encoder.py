"""The encoder that is carried from edit to edit, as the released code does, beside the fresh one of each edit."""

from __future__ import annotations

import torch
from torch import Tensor

from families import tiny_model
from kgedit.graph.subgraph import Subgraph
from kgedit.methods.base import Request
from kgedit.methods.glame.config import CARRIED_NOTE, GlameConfig
from kgedit.methods.glame.method import Glame
from methods.benches import bench, graph_of
from methods.glame.test_method import FACTS, GRAPH, REQUEST, paper, run


def test_a_carried_encoder_depends_on_the_edits_before_and_a_fresh_one_does_not() -> None:
    """The released code never resets its encoder; by default each edit has a fresh one."""
    model, tok = tiny_model("gpt2")
    other = Request("Nintendo", "{} is a citizen of", "Japan", "P27"), graph_of("Nintendo", "P27", "Japan", FACTS)
    this = REQUEST, GRAPH

    def rights(settings: GlameConfig, *edits: tuple[Request, Subgraph]) -> list[Tensor]:
        requests, graphs = zip(*edits, strict=True)
        return [computed.delta.updates[0].right for computed in run(model, tok, settings, requests, graphs)]

    fresh, carrying = paper(), paper(carry_rgnn=True)
    torch.testing.assert_close(rights(fresh, this)[0], rights(fresh, other, this)[1], rtol=1e-4, atol=1e-5)
    first, second = rights(carrying, other, this)
    assert torch.equal(first, rights(carrying, other)[0])
    assert not torch.allclose(second, rights(carrying, this)[0], rtol=1e-2, atol=1e-3)
    # The same whether the edits come in one call or in two of one editor.
    method, work = Glame(carrying), bench(model, tok, carrying.layers)
    apart = [method.compute(work, [request], [graph])[0] for request, graph in (other, this)]
    assert torch.equal(apart[1].delta.updates[0].right, second)
    assert CARRIED_NOTE in apart[1].notes
    assert CARRIED_NOTE not in run(model, tok, fresh)[0].notes
