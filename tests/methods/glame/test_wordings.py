"""The edit in other wordings of its relation: part of GLAME's objective with or without a subgraph."""

from __future__ import annotations

import pytest

from families import tiny_model
from kgedit.methods.base import Request
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.method import Glame
from methods.benches import bench


@pytest.mark.parametrize(("relation", "weight", "wordings"), [("P27", 0.5, 1), ("P27", 0.0, 0), (None, 0.5, 0)])
def test_other_wordings_need_the_relation_and_no_graph(relation, weight, wordings) -> None:
    """A subject in the user's own words has no subgraph; its relation's wordings are known all the same."""
    model, tok = tiny_model("gpt2")
    request = Request("Marie Curie", "{} is a citizen of", "Japan", relation)
    settings = GlameConfig(layers=(1,), repr_layer=0, steps=1, wording_weight=weight)
    (computed,) = Glame(settings).compute(bench(model, tok, (1,)), [request], [None])
    assert (computed.log["wordings"], computed.log["paths"], computed.log["kept_facts"]) == (wordings, 0, 0)
