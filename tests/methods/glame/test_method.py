"""GLAME: what the graph adds to an edit, the published setting to the number, and no trace in the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.oracle import Graph, Plain, published_glame, rome_sentences
from families import FAMILIES, D, tiny_model
from kgedit.errors import EditDiverged
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.base import Computed, Request
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.encoder import RelationalEncoder
from kgedit.methods.glame.method import Glame
from kgedit.methods.rome import Rome, RomeConfig
from methods.benches import PREFIXES, Diagonal, bench, graph_of, recalled, state_of

TEXT = Verbalizer.bundled()
REQUEST = Request("Marie Curie", "{} is a citizen of", "Japan", "P27")
FACTS = {"P36": "Tokyo", "P37": "Danish", "P30": "Paris"}
GRAPH = graph_of("Marie Curie", "P27", "Japan", FACTS, {"P106": "physics", "P19": "Ulm"})
# Nothing but the encoder between graph and value.
BARE = {"path_weight": 0.0, "wording_weight": 0.0, "keep_weight": 0.0}


def config(**kwargs: Any) -> GlameConfig:
    return GlameConfig(**{"layers": (1,), "repr_layer": 0, "steps": 4, "kl_weight": 0.1, **kwargs})


def paper(**kwargs: Any) -> GlameConfig:
    return GlameConfig.paper(**{"layers": (1,), "repr_layer": 0, "steps": 4, "dropout": 0.0, **kwargs})


def run(
    model,
    tok,
    settings: GlameConfig,
    requests: Sequence[Request] = (REQUEST,),
    graphs: Sequence[Subgraph | None] = (GRAPH,),
    **kwargs: Any,
) -> list[Computed]:
    return Glame(settings).compute(bench(model, tok, settings.layers, **kwargs), requests, graphs)


def label_vectors(model, tok, labels: Sequence[str], layer: int) -> Tensor:
    """Each label alone, mean over its tokens of a block's output."""
    with torch.no_grad():
        states = [model(**tok(text, return_tensors="pt"), output_hidden_states=True).hidden_states for text in labels]
    return torch.stack([state[layer + 1][0].mean(dim=0) for state in states])


def plain_published(model, tok, settings: GlameConfig, seed: int = 0):
    """What the oracle makes of the same request, and of an encoder with the same first weights."""
    graph = Graph(
        label_vectors(model, tok, GRAPH.node_labels, settings.repr_layer),
        label_vectors(model, tok, GRAPH.relation_labels, settings.repr_layer),
        [(0, 0, 1), (1, 1, 2), (1, 2, 3), (1, 3, 4)],
    )
    encoder = RelationalEncoder(D, layers=2, seed=seed)
    weights = [(layer.neighbour.detach(), layer.own.detach()) for layer in encoder.layers]
    sentences = rome_sentences(
        tok, REQUEST.prompt, REQUEST.subject, REQUEST.target, PREFIXES, kl_weight=settings.kl_weight
    )
    model.requires_grad_(False)
    plain = Plain(model, settings.layers, sentences)
    names = ("steps", "learning_rate", "weight_decay", "clamp", "stop_loss")
    return plain, published_glame(plain, graph, weights, **{name: getattr(settings, name) for name in names})


@pytest.mark.parametrize("family", FAMILIES)
def test_the_papers_setting_is_the_released_procedure(family) -> None:
    model, tok = tiny_model(family)
    settings = paper(learning_rate=0.05, clamp=2.0)
    (computed,) = run(model, tok, settings)
    _, found = plain_published(model, tok, settings)
    assert computed.log["losses"] == pytest.approx(found.losses, rel=1e-4)
    offset = computed.delta.updates[0].right[:, 0]  # the published arithmetic writes m* - m itself
    assert float((offset - found.offset[0]).norm()) < 1e-4 * float(found.offset.norm())


def test_the_first_step_is_not_clamped_the_others_are_and_the_gradient_does_not_know() -> None:
    """The clamp is active here from the start, so the losses agree only if all three are as published."""
    model, tok = tiny_model("gpt2")
    settings = paper(learning_rate=0.5, clamp=0.5, steps=4)
    (computed,) = run(model, tok, settings)
    plain, found = plain_published(model, tok, settings)
    assert computed.log["losses"] == pytest.approx(found.losses, rel=1e-4)
    bound = 0.5 * float(plain.values[0, 0].norm())
    assert float(computed.delta.updates[0].right.norm()) == pytest.approx(bound, rel=1e-4)
    vectors = label_vectors(model, tok, GRAPH.node_labels, 0)
    kinds = label_vectors(model, tok, GRAPH.relation_labels, 0)
    encoder = RelationalEncoder(D, aggregation="mean", self_loops="published").eval()
    with torch.no_grad():
        z = encoder(GRAPH.to_pyg(vectors, kinds))[0]
    assert float(z.norm()) > 2 * bound
    assert float(plain.loss(z.unsqueeze(0))) == pytest.approx(found.losses[0], rel=1e-4)


def test_dropout_is_drawn_anew_at_each_step_and_from_the_seed() -> None:
    model, tok = tiny_model("gpt2")
    still, first, again, other = (
        run(model, tok, paper(dropout=dropout), seed=seed)[0]
        for dropout, seed in ((0, 1), (0.3, 1), (0.3, 1), (0.3, 2))
    )
    assert first.delta.id == again.delta.id
    assert len({still.delta.id, first.delta.id, other.delta.id}) == 3
    # The value that is written comes without dropout: no coordinate is dropped from it.
    assert bool(first.delta.updates[0].right.ne(0).all())


def test_the_papers_numbers() -> None:
    found = GlameConfig.paper()
    expected = {
        "layers": (9,),
        "repr_layer": 5,
        "pooling": "avg",
        "encoder": "rgnn",
        "order": 2,
        "max_edges": 20,
        "steps": 40,
        "learning_rate": 0.5,
        "weight_decay": 0.1,
        "dropout": 0.3,
        "free_offset": False,
        "clamp": 4.0,
        "kl_weight": 0.0625,
        "path_weight": 0.0,
        "wording_weight": 0.0,
        "keep_weight": 0.0,
        "stop_loss": 0.04,
        "key": "original",
        "optimizer": "adamw",
        "aggregation": "mean",
        "self_loops": "published",
        "dropout_last": True,
        "gated": False,
        "clamp_gradient": False,
        "clamp_from": 1,
        "choice": "last unless worse",
    }
    assert {name: getattr(found, name) for name in expected} == expected
    assert GlameConfig.paper(layers=(5,), max_edges=35).max_edges == 35
    assert Glame(found).subgraph_options == {"order": 2, "max_edges": 20, "edge_choice": "first"}


def changed(**labels: str) -> Subgraph:
    """The same graph with other texts."""
    return Subgraph(**{**vars(GRAPH), "labels": GRAPH.labels | labels})


@pytest.mark.parametrize("setting", ["clean", "paper"])
@pytest.mark.parametrize(
    ("encoder", "hears"),
    [
        ("rgnn", {"subject", "object", "neighbour", "relation"}),
        ("gnn", {"subject", "object", "neighbour"}),
        ("mlp", {"subject"}),
        ("none", set()),
    ],
)
def test_each_ablation_hears_what_it_should(setting, encoder, hears) -> None:
    model, tok = tiny_model("llama")
    settings = {"encoder": encoder, "free_offset": encoder == "none" or setting == "clean", "steps": 2}
    make = config(**settings, **BARE) if setting == "clean" else paper(**settings)
    changes = {
        "subject": changed(Q1="Albert Einstein"),
        "object": changed(Q2="France"),
        "neighbour": changed(Q3="Copenhagen"),
        "relation": changed(P36="another label"),
    }
    ids = {name: run(model, tok, make, graphs=[graph])[0].delta.id for name, graph in changes.items()}
    unchanged = run(model, tok, make)[0].delta.id
    assert {name for name, id in ids.items() if id != unchanged} == hears


@pytest.mark.parametrize("setting", ["clean", "paper"])
def test_the_ablations_differ_from_each_other(setting) -> None:
    model, tok = tiny_model("gpt2")
    ids = {}
    for encoder in ("rgnn", "gnn", "mlp", "none"):
        settings = {"encoder": encoder, "free_offset": encoder == "none" or setting == "clean"}
        made = config(**settings, **BARE) if setting == "clean" else paper(**settings)
        ids[encoder] = run(model, tok, made)[0].delta.id
    assert all(ids[one] != ids[other] for one, other in combinations(ids, 2))


def test_the_clean_clamp_holds_at_every_step_layer_by_layer() -> None:
    model, tok = tiny_model("gpt2")
    settings = config(layers=(0, 1, 2), clamp=0.5, steps=6, first_step=2.0, key="original", **BARE)
    (computed,) = run(model, tok, settings)
    plain = Plain(model, (0, 1, 2), rome_sentences(tok, REQUEST.prompt, REQUEST.subject, REQUEST.target, [""], 1.0))
    for number, update in enumerate(computed.delta.updates):
        assert float(update.right.norm()) <= 0.5 * float(plain.values[0, number].norm()) * (1 + 1e-5)
    assert computed.delta.names == tuple(anatomy_of(model).weight_name(layer) for layer in (0, 1, 2))


def test_the_clean_setting_takes_the_best_of_the_values_it_saw() -> None:
    model, tok = tiny_model("gpt2")
    settings = config(steps=4, first_step=50.0, clamp=1000.0, **BARE)  # the third step goes much too far
    (computed,) = run(model, tok, settings)
    losses = computed.log["losses"]
    assert min(losses) < losses[-1] - 1e-3, "choose settings at which the last value is not the best"
    assert sum(computed.log["parts"].values()) == pytest.approx(min(losses), rel=1e-5)


def test_without_a_subgraph_and_other_wordings_the_objective_is_romes_and_the_edit_says_so() -> None:
    model, tok = tiny_model("gpt2")
    shared = {"clamp": 1000.0, "kl_weight": 0.1}
    settings = config(**shared, steps=12, key="averaged", wording_weight=0.0)
    (computed,) = run(model, tok, settings, graphs=[None])
    assert any("no subgraph" in note for note in computed.notes)
    assert computed.delta.manifest["graph"] is None
    assert (computed.log["paths"], computed.log["kept_facts"]) == (0, 0)
    rome = RomeConfig(layer=1, learning_rate=0.1, weight_decay=0.0, stop_loss=0.02, steps=12, **shared)
    (expected,) = Rome(rome).compute(bench(model, tok, [1]), [REQUEST])
    assert computed.log["losses"][0] == pytest.approx(expected.log["losses"][0], rel=1e-5)
    assert min(computed.log["losses"]) < min(expected.log["losses"])
    (bare,) = run(model, tok, settings.model_copy(update={"encoder": "none"} | BARE))
    assert bare.delta.id == computed.delta.id
    (published,) = run(model, tok, paper(), graphs=[None])
    assert bool(published.delta.updates[0].right.any())


@pytest.mark.parametrize("make", [config, paper])
def test_a_graph_that_knows_nothing_of_the_new_object_is_noted_and_used(make) -> None:
    model, tok = tiny_model("gpt2")
    alone = graph_of("Marie Curie", "P27", "Japan", {})
    (computed,) = run(model, tok, make(), graphs=[alone])
    assert any("edited fact alone" in note for note in computed.notes)
    assert bool(computed.delta.updates[0].right.any())
    assert run(model, tok, make())[0].notes == ()


@pytest.mark.parametrize(("kind", "counted"), [("path", "paths"), ("wording", "wordings"), ("keep", "kept_facts")])
def test_the_graph_is_part_of_the_objective_as_far_as_its_weights_say(kind, counted) -> None:
    """What follows from the edit becomes likely (path), the edit in another wording too; other facts stay (keep)."""
    model, tok = tiny_model("gpt2")
    known = {r: o for r, o in recalled(model, tok, "Japan").items() if TEXT.composable(("P27", r))}
    relation, label = next(iter(known.items()))
    graph = graph_of("Marie Curie", "P27", "Japan", {relation: label, "P36": "Tokyo"}, {"P106": "physics"})
    # The path is asked in two wordings, the edited fact in its question, and the subject's one other fact once.
    asked = {"path": len(TEXT.edit_wordings(("P27",))), "wording": 1, "keep": 1}
    found = []
    for weight in (0.0, 1e-6, 2.0):
        weights = {f"{one}_weight": weight if one == kind else 0.0 for one in asked}
        settings = config(steps=25, clamp=20.0, kl_weight=0.0, keep_recalled=False, **weights)
        (computed,) = run(model, tok, settings, graphs=[graph])
        assert computed.log[counted] == (asked[kind] if weight else 0)
        found.append(computed.log["parts"].get(kind, 0.0) / (weight or 1.0))
    assert found[0] == 0
    assert found[2] < 0.93 * found[1]
    own = recalled(model, tok, "Marie Curie")
    graph = graph_of("Marie Curie", "P27", "Japan", {}, {**own, "P106": "physics"})
    (computed,) = run(model, tok, config(steps=1), graphs=[graph])
    # By statement and by question, without what is not recalled.
    assert computed.log["kept_facts"] == 2 * len(own.keys() - {"P27", "P106"})


def test_an_offset_is_written_in_the_length_asked_for() -> None:
    """The same direction and keys, 1.25 times the optimised length."""
    model, tok = tiny_model("gpt2")
    alone = {"keep_weight": 0.0, "kl_weight": 0.0}
    plain, longer = (run(model, tok, config(written_length=x, **alone))[0].delta.updates[0] for x in (1.0, 1.25))
    assert torch.equal(longer.left, plain.left)
    assert torch.equal(longer.right, 1.25 * plain.right)


def test_an_edit_does_not_notice_the_company_it_is_computed_in() -> None:
    model, tok = tiny_model("gpt2")
    requests = [REQUEST, Request("Nintendo", "The headquarters of {} is in", "Kyoto", "P159"), REQUEST]
    graphs = [GRAPH, None, changed(Q3="Copenhagen")]
    together = run(model, tok, config(), requests, graphs)
    for request, graph, computed in zip(requests, graphs, together, strict=True):
        (alone,) = run(model, tok, config(), [request], [graph])
        ours, theirs = computed.delta.updates[0].dense(), alone.delta.updates[0].dense()
        assert float((ours - theirs).norm()) < 1e-3 * float(theirs.norm())
        assert computed.log["losses"] == pytest.approx(alone.log["losses"], rel=1e-4)
        assert computed.notes == alone.notes
    assert run(model, tok, config(), [], []) == []


@pytest.mark.parametrize("make", [config, paper])
def test_one_seed_gives_one_delta_and_another_seed_another(make) -> None:
    model, tok = tiny_model("gpt2")
    found = []
    for state, seed in ((1, 5), (2, 5), (3, 6)):
        torch.manual_seed(state)
        found.append(run(model, tok, make(), seed=seed)[0])
    assert found[0].delta.id == found[1].delta.id
    assert found[0].log == found[1].log
    assert found[0].delta.id != found[2].delta.id
    with torch.inference_mode():
        assert run(model, tok, make(), seed=5)[0].delta.id == found[0].delta.id


class Interrupted(Diagonal):
    """A second moment whose last use (one for each layer) is interrupted: in the middle of writing."""

    uses = 0
    last = 1

    def solve(self, keys: Tensor) -> Tensor:
        self.uses += 1
        if self.uses == self.last:
            raise KeyboardInterrupt
        return super().solve(keys)


@pytest.mark.parametrize("where", ["nowhere", "progress", "writing", 1, 2, 5, 10])
@pytest.mark.parametrize("layers", [(1,), (0, 2)], ids=str)
def test_the_model_is_as_before_wherever_the_work_ends(layers, where) -> None:
    model, tok = tiny_model("gemma2")
    model.train()
    anatomy_of(model).weight(model, 1).requires_grad_(False)
    calls = 0

    def count(module: torch.nn.Module, args: tuple, output: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == where:
            raise KeyboardInterrupt

    model.get_submodule("model.norm").register_forward_hook(count)  # runs in every whole pass
    before = state_of(model)

    def progress(what: str, done: int, total: int) -> None:
        if where == "progress" and done == 2:
            raise RuntimeError("stop")

    moment = Interrupted(88) if where == "writing" else Diagonal(88)
    moment.last = len(layers)
    work = {"progress": progress, "moment": moment}
    requests, graphs = (REQUEST, REQUEST), (GRAPH, None)
    if where == "nowhere":
        run(model, tok, config(layers=layers, steps=8), requests, graphs, **work)
    else:
        with pytest.raises((RuntimeError, KeyboardInterrupt)):
            run(model, tok, config(layers=layers, steps=8), requests, graphs, **work)
    assert state_of(model) == before


@pytest.mark.parametrize("make", [config, paper])
@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_neox"])
def test_a_bfloat16_model_is_edited(family, make) -> None:
    model, tok = tiny_model(family)
    model.to(torch.bfloat16)
    (computed,) = run(model, tok, make(steps=10, learning_rate=0.02))
    assert min(computed.log["losses"][1:]) < computed.log["losses"][0]
    with computed.delta.apply(model):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_broken_model_is_an_error_and_no_delta() -> None:
    model, tok = tiny_model("gpt2")
    with torch.no_grad():
        anatomy_of(model).weight(model, 2).fill_(float("nan"))
    before = state_of(model)
    with pytest.raises(EditDiverged, match="nan at step 0"):
        run(model, tok, config())
    assert state_of(model) == before


def test_the_manifest_names_graph_settings_and_seed() -> None:
    model, tok = tiny_model("gpt2")
    (computed,) = run(model, tok, config(), seed=3)
    manifest = json.loads(json.dumps(computed.delta.manifest))
    assert GlameConfig.model_validate(manifest["settings"]) == config()
    assert (manifest["method"], manifest["seed"]) == ("glame", 3)
    assert manifest["graph"]["triples"][1] == ["Q2", "P36", "Q3"]
    assert manifest["graph"]["subject_facts"] == [["Q1", "P106", "Q101"], ["Q1", "P19", "Q102"]]
    computed.delta.check_base(model)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layers": ()}, "layers"),
        ({"layers": (2, 1)}, "ascending"),
        ({"layers": (1, 1)}, "distinct"),
        ({"later_layers": (2, 1)}, "later_layers must be ascending"),
        ({"order": 0}, "order"),
        ({"dropout": 1.0}, "dropout"),
        ({"alpha": 1.0}, "alpha"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong, words) -> None:
    with pytest.raises(ValueError, match=words):
        config(**wrong)
