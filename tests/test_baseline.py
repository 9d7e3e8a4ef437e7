"""The unoptimised baseline of the benchmarks gives what the package gives: the same changes, statistics and scores."""

from __future__ import annotations

import pytest
import torch

from benchmarks.baseline import (
    explicit_inverse,
    glame_edit,
    memit_edits,
    published_graph,
    rome_edit,
    score,
    second_moment,
)
from benchmarks.oracle import rome_sentences
from families import SENTENCES, D, tiny_model
from kgedit.lm.hooks import frozen
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.lm.second_moment.collect import collect
from kgedit.methods.base import Request
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.encoder import RelationalEncoder
from kgedit.methods.glame.method import Glame
from kgedit.methods.memit import Memit, MemitConfig
from kgedit.methods.rome import Rome, RomeConfig
from methods.benches import PREFIXES, bench, graph_of

REQUESTS = (Request("Marie Curie", "{} is a citizen of", "Japan", "P27"), Request("Ada", "{} was born in", "Tokyo"))
GRAPH = graph_of("Marie Curie", "P27", "Japan", {"P36": "Tokyo", "P37": "Danish"})
SETTINGS = {"steps": 4, "learning_rate": 0.05, "weight_decay": 0.5, "clamp": 2.0, "stop_loss": 0.0}


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def sentences(tok, request: Request):
    return rome_sentences(tok, request.prompt, request.subject, request.target, PREFIXES, 0.1)


@pytest.mark.parametrize("family", ["gpt2", "gptj", "llama"])
def test_edits_are_those_of_the_baseline(family) -> None:
    model, tok = tiny_model(family)
    moments = collect(model, tok, SENTENCES, [0, 1])
    work = bench(model, tok, [0, 1], moment=moments[1])
    inverse = explicit_inverse(moments[1].matrix, moments[1].ridge)

    (rome,) = Rome(RomeConfig(layer=1, kl_weight=0.1, **SETTINGS)).compute(work, [REQUESTS[0]])
    settings = {**SETTINGS, "weight_decay": 0.1}
    config = GlameConfig.paper(layers=(1,), repr_layer=0, dropout=0.0, kl_weight=0.1, **settings)
    (glame,) = Glame(config).compute(work, [REQUESTS[0]], [GRAPH])
    config = MemitConfig(layers=(0, 1), kl_weight=0.1, moment_weight=3.0, **SETTINGS)
    (memit,) = Memit(config).together(work, [[(request, None) for request in REQUESTS]])

    with frozen(model):
        asked = sentences(tok, REQUESTS[0])
        assert relative(rome.delta.updates[0].dense(), rome_edit(model, 1, asked, inverse, **SETTINGS)) < 1e-4
        graph, layers = published_graph(model, tok, GRAPH, 0), RelationalEncoder(D, layers=2).layers
        weights = [(layer.neighbour.detach(), layer.own.detach()) for layer in layers]
        plain = glame_edit(model, 1, asked, inverse, graph, weights, **settings)
        assert relative(glame.delta.updates[0].dense(), plain) < 1e-4
        every = [sentences(tok, request) for request in REQUESTS]
        matrix, ridge = moments[1].matrix, moments[1].ridge
        changes = memit_edits(model, (0, 1), every, [matrix] * 2, moment_weight=3.0, ridge=ridge, **SETTINGS)
    for update, change in zip(memit.delta.updates, changes, strict=True):
        assert relative(update.dense(), change) < 1e-4


def test_statistics_and_scores_are_those_of_the_baseline() -> None:
    model, tok = tiny_model("gpt2")
    expected = second_moment(model, tok, SENTENCES, 1, rows=3)
    assert relative(collect(model, tok, SENTENCES, [1])[1].matrix, expected) < 1e-5
    pairs = [(request.question, target) for request in REQUESTS for target in ("Japan", "Tokyo")]
    plain, ours = score(model, tok, pairs), score_pairs(model, tok, pairs)
    assert [ours[pair].mean_logprob for pair in pairs] == pytest.approx([plain[pair] for pair in pairs], rel=1e-4)
