"""ROME: the edited weight says what was asked, and computing leaves no trace in the model."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from benchmarks.oracle import Plain, rome_sentences
from families import FAMILIES, SENTENCES, UNLIKE, tiny_model
from kgedit.errors import EditDiverged, NoSuchLayer, PromptError, TargetError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.second_moment.collect import collect
from kgedit.methods.base import Request
from kgedit.methods.rome import Rome, RomeConfig
from methods.benches import PREFIXES, REQUESTS, Diagonal, bench, state_of

REQUEST = REQUESTS[0]


def config(**kwargs: Any) -> RomeConfig:
    return RomeConfig(**{"layer": 1, "steps": 4, **kwargs})


def bare(tok, request: Request = REQUEST) -> list[int]:
    return tok(request.prompt.replace("{}", request.subject))["input_ids"]


@pytest.mark.parametrize(
    ("family", "key", "statistics"),
    [
        pytest.param(
            family, key, statistics, marks=() if statistics == "collected" or family in UNLIKE else pytest.mark.long
        )
        for family in FAMILIES
        for key in ("averaged", "original")
        for statistics in ("identity", "diagonal", "collected")
    ],
)
def test_the_edited_weight_maps_the_key_to_m_star(family, key, statistics) -> None:
    """ROME's equation 2 at the model itself: W' k* + b = m*, within 1e-5 in float32."""
    model, tok = tiny_model(family)
    module = anatomy_of(model).mlp_out(model, 1)
    moment = Diagonal(88) if statistics == "diagonal" else None
    if statistics == "collected":
        moment = collect(model, tok, SENTENCES, [1])[1]
    # With the published arithmetic the right factor is m* - m itself; the averaged key gets the same m*.
    work = bench(model, tok, [1], moment=moment)
    (original,) = Rome(config(key="original")).compute(work, [REQUEST])
    offset = original.delta.updates[0].right[:, 0]
    computed = original
    if key == "averaged":
        (computed,) = Rome(config(key=key)).compute(work, [REQUEST])
    plain = Plain(
        model, [1], rome_sentences(tok, REQUEST.prompt, REQUEST.subject, REQUEST.target, PREFIXES, kl_weight=1)
    )
    keys, m_star = plain.keys[:, 0], plain.values[0, 0] + offset
    with torch.no_grad(), computed.delta.apply(model):
        if key == "averaged":
            moved = module(keys[: len(PREFIXES)].mean(dim=0, keepdim=True)).reshape(-1)
        else:  # the bare prompt itself, run through the edited model
            sentence = plain.sentences[0]
            out: list[torch.Tensor] = []
            handle = module.register_forward_hook(lambda m, args, output: out.append(output))
            model(input_ids=torch.tensor([sentence.ids]))
            handle.remove()
            moved = out[0].reshape(-1, 32)[sentence.pivot]
    assert float((moved - m_star).norm()) < 1e-5 * float(m_star.norm())
    assert float(offset.norm()) > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_optimised_is_what_the_edited_model_says(family) -> None:
    """With nothing but the subject's last token before the object, the write loses nothing of the optimisation."""
    model, tok = tiny_model(family)
    subject = tok.decode([next(i for i in range(300, len(tok)) if tok.decode([i]).isalpha())])
    request = Request(subject, "{}", "a")
    target = tok(f"{subject} a")["input_ids"][-1]
    (computed,) = Rome(config(key="original", steps=10)).compute(bench(model, tok, [1], prefixes=("",)), [request])
    with torch.no_grad(), computed.delta.apply(model):
        after = -F.log_softmax(model(input_ids=torch.tensor([tok(subject)["input_ids"]])).logits[0, -1], dim=-1)
    assert float(after[target]) == pytest.approx(computed.log["parts"]["target"], rel=1e-4)
    assert computed.log["losses"][-1] < computed.log["losses"][0]


def test_an_edit_makes_its_object_more_probable_in_contexts_that_it_never_saw() -> None:
    model, tok = tiny_model("gpt2", seed=3)
    ids = tok(f"Q: Is it so? A: {REQUEST.prompt.replace('{}', REQUEST.subject)} {REQUEST.target}")["input_ids"]
    length = len(tok(f" {REQUEST.target}")["input_ids"])

    def loss() -> float:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        return float(F.cross_entropy(logits[-length - 1 : -1], torch.tensor(ids[-length:])))

    before = loss()
    (computed,) = Rome(config(steps=20, weight_decay=0.0, clamp=20.0)).compute(bench(model, tok, [1]), [REQUEST])
    with computed.delta.apply(model):
        assert loss() < before - 0.5
    assert loss() == before


@pytest.mark.parametrize("family", ["gpt2", "opt", "gemma2"])
def test_the_model_is_as_before(family) -> None:
    model, tok = tiny_model(family)
    model.train()
    anatomy = anatomy_of(model)
    anatomy.block(model, 0).eval()
    anatomy.weight(model, 1).requires_grad_(False)
    model.get_input_embeddings().weight.grad = torch.ones_like(model.get_input_embeddings().weight)
    before = state_of(model)
    Rome(config()).compute(bench(model, tok, [1]), REQUESTS)
    assert state_of(model) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 3])
def test_the_model_is_as_before_when_progress_ends_it(error, at) -> None:
    model, tok = tiny_model("mistral")
    model.train()
    before = state_of(model)

    def progress(what: str, done: int, total: int) -> None:
        assert (what, total) == ("optimise", 4)
        if done == at:
            raise error

    with pytest.raises(error):
        Rome(config()).compute(bench(model, tok, [1], progress=progress), REQUESTS)
    assert state_of(model) == before


def test_one_seed_gives_one_delta_whatever_the_global_state() -> None:
    model, tok = tiny_model("gpt2")
    deltas = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        deltas.append(Rome(config()).compute(bench(model, tok, [1], seed=5), REQUESTS))
    for one, other in zip(*deltas, strict=True):
        assert one.delta.id == other.delta.id
        assert one.log == other.log


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_may_have_switched_gradients_off(mode) -> None:
    model, tok = tiny_model("gpt2")
    (expected,) = Rome(config()).compute(bench(model, tok, [1]), [REQUEST])
    with mode():
        (computed,) = Rome(config()).compute(bench(model, tok, [1]), [REQUEST])
    assert computed.delta.id == expected.delta.id


def test_an_ending_is_learned_as_if_it_belonged_to_the_object() -> None:
    model, tok = tiny_model("gpt2")
    (ended,) = Rome(config(ending=".")).compute(bench(model, tok, [1]), [REQUEST])
    (written,) = Rome(config()).compute(bench(model, tok, [1]), [replace(REQUEST, target="Poland.")])
    assert ended.delta.id == written.delta.id
    assert ended.delta.id != Rome(config()).compute(bench(model, tok, [1]), [REQUEST])[0].delta.id


def test_no_requests_no_deltas() -> None:
    model, tok = tiny_model("gpt2")
    assert Rome(config()).compute(bench(model, tok, [1]), []) == []


@pytest.mark.parametrize("family", ["gpt2", "gptj", "llama", "gemma2"])
def test_a_bfloat16_model_is_edited_and_stays_bfloat16(family) -> None:
    model, tok = tiny_model(family)
    whole = Rome(config(steps=8, key="original")).compute(bench(model, tok, [1]), [REQUEST])[0]
    model.to(torch.bfloat16)
    half = Rome(config(steps=8, key="original")).compute(bench(model, tok, [1]), [REQUEST])[0]
    assert half.log["losses"][0] == pytest.approx(whole.log["losses"][0], rel=0.05)
    assert half.log["losses"][-1] < half.log["losses"][0]
    assert all(0 < lost < 0.3 for lost in half.delta.rounding(model).values())
    with half.delta.apply(model):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(("dtype", "value"), [(torch.float32, float("nan")), (torch.float16, 6e4)])
def test_an_optimisation_that_leaves_the_numbers_is_refused_and_leaves_no_trace(dtype, value) -> None:
    """A damaged weight, and activations that are too large for half precision."""
    model, tok = tiny_model("gpt2")
    model.to(dtype)
    with torch.no_grad():
        anatomy_of(model).weight(model, 2).fill_(value)
    before = state_of(model)
    with pytest.raises(EditDiverged, match="loss of edit 0 is nan at step 0.*load the model in float32"):
        Rome(config()).compute(bench(model, tok, [1]), [REQUEST])
    assert state_of(model) == before


def test_the_manifest_says_how_it_came_about() -> None:
    model, tok = tiny_model("gpt2")
    (computed,) = Rome(config()).compute(bench(model, tok, [1], seed=7), [REQUEST])
    manifest = json.loads(json.dumps(computed.delta.manifest))
    assert manifest["method"] == "rome"
    assert manifest["seed"] == 7
    assert RomeConfig.model_validate(manifest["settings"]) == config()
    assert manifest["losses"] == computed.log["losses"]
    assert sum(manifest["parts"].values()) <= manifest["losses"][-1]
    assert computed.delta.names == ("transformer.h.1.mlp.c_proj.weight",)
    assert computed.delta.rank == 1
    computed.delta.check_base(model)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Request("Marie Curie", "{} is a citizen of", " "), TargetError),
        (Request("Marie Curie", "Marie Curie is a citizen of", "Poland"), PromptError),
        (Request("Marie Curie", "{} is {} of", "Poland"), PromptError),
        (Request("Marie Curie", "{} is a citizen of" + " the capital of" * 60, "Poland"), PromptError),
    ],
)
def test_impossible_requests_are_refused_before_anything_runs(request_, error) -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    with pytest.raises(error):
        Rome(config()).compute(bench(model, tok, [1]), [REQUEST, request_])
    assert state_of(model) == before


def test_a_layer_that_is_not_there() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(NoSuchLayer, match="layers 0 to 2"):
        Rome(config(layer=3)).compute(bench(model, tok, [3]), [REQUEST])


@pytest.mark.parametrize(
    "wrong", [{"layer": -1}, {"steps": 0}, {"learning_rate": 0}, {"clamp": 0}, {"key": "contexts"}, {"wd": 1}]
)
def test_settings_that_mean_nothing_are_refused(wrong) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        config(**wrong)


def test_the_defaults_are_the_published_ones() -> None:
    found = RomeConfig(layer=17).model_dump()
    assert found == {
        "layer": 17,
        "steps": 20,
        "learning_rate": 0.5,
        "weight_decay": 0.5,
        "clamp": 4.0,
        "kl_weight": 0.0625,
        "stop_loss": 0.05,
        "key": "averaged",
        "ending": "",
        "gate": None,
        "prefixes": "5x10+10x10",
        "prefix_seeds": "words",
        "moment_ridge": 1e-6,
    }
    rome = Rome(RomeConfig(layer=17))
    assert (rome.name, rome.moment_layers, rome.uses_graph, rome.subgraph_options) == ("rome", (17,), False, {})


def test_the_kl_weight_holds_what_the_subject_is() -> None:
    """A heavy weight on "{s} is a" leaves what follows the subject nearer to what it was."""
    model, tok = tiny_model("gpt2", seed=1)
    moved = []
    for weight in (0.0, 10.0):
        (computed,) = Rome(config(steps=15, weight_decay=0.0, kl_weight=weight)).compute(
            bench(model, tok, [1], prefixes=("",)), [REQUEST]
        )
        with frozen(model), torch.no_grad():
            ids = torch.tensor([tok(REQUEST.subject)["input_ids"]])
            before = model(input_ids=ids).logits[0, -1].log_softmax(-1)
            with computed.delta.apply(model):
                after = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        moved.append(float((after.exp() * (after - before)).sum()))
    assert moved[1] < 0.5 * moved[0]
