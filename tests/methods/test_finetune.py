"""FT and FT-L ("ft", "ft-l"): the change is what a plain training loop makes, bounded where asked, kept exactly."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from families import D_FF, FAMILIES, D, tiny_model
from kgedit.delta import DeltaStack, LowRankDelta
from kgedit.errors import EditDiverged, EditError, NoSuchLayer, PromptError, TargetError
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.methods.base import Request
from kgedit.methods.finetune import BoundedConfig, FineTune, FineTuneBounded, FineTuneConfig
from kgedit.methods.registry import method_for
from methods.benches import REQUESTS, bench, state_of

REQUEST = REQUESTS[0]
CASE = [(request, None) for request in REQUESTS[:3]]


def config(**kwargs: Any) -> FineTuneConfig:
    return FineTuneConfig(**{"layer": 1, "steps": 4, **kwargs})


def plain_loop(model, tok, requests, settings: FineTuneConfig, loss_kind: str) -> tuple[torch.Tensor, list[float]]:
    """A training loop as anyone would write it: a copy of the model, one row at a time, torch's own Adam."""
    trained = copy.deepcopy(model).requires_grad_(False)
    weight = anatomy_of(trained).weight(trained, settings.layer).requires_grad_(True)
    first = weight.detach().clone()
    adam = torch.optim.Adam([weight], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    losses = []
    for _ in range(settings.steps):
        rows = []
        for request in requests:
            prompt = tok(request.prompt.replace("{}", request.subject))["input_ids"]
            target = tok(f"is {request.target}")["input_ids"][len(tok("is")["input_ids"]) :]
            if loss_kind == "target":
                logits = trained(input_ids=torch.tensor([prompt + target[:-1]])).logits[0, len(prompt) - 1 :]
            else:
                logits = trained(input_ids=torch.tensor([prompt])).logits[0, -1:].expand(len(target), -1)
            rows.append(F.cross_entropy(logits, torch.tensor(target)))
        loss = torch.stack(rows).mean()
        losses.append(float(loss.detach()))
        if losses[-1] < settings.stop_loss:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        if settings.epsilon is not None:
            with torch.no_grad():
                weight.copy_(torch.minimum(torch.maximum(weight, first - settings.epsilon), first + settings.epsilon))
    return to_math(weight.detach() - first, anatomy_of(model).conv1d), losses


@pytest.mark.parametrize("loss", ["prompt_last", "target"])
@pytest.mark.parametrize(
    ("layer", "more"), [(0, {}), (1, {"weight_decay": 0.1}), (2, {"epsilon": 1e-3, "learning_rate": 4e-4})]
)
@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_the_change_is_that_of_a_plain_training_loop(family, layer, more, loss) -> None:
    """In double precision, so that Adam's first step, which is a sign, does not hang on the last bit."""
    model, tok = tiny_model(family)
    model.double()
    settings = config(layer=layer, loss=loss, **more)
    expected, losses = plain_loop(model, tok, REQUESTS[:3], settings, loss)
    (computed,) = FineTune(settings).together(bench(model, tok, ()), [CASE])
    (update,) = computed.delta.updates
    assert computed.log["losses"] == pytest.approx(losses, rel=1e-9)
    assert float((update.dense().double() - expected).abs().max()) < 1e-8
    assert float(expected.abs().max()) > 5e-4


def test_every_target_token_is_scored_at_the_last_position_of_the_prompt() -> None:
    """The published loss, by hand: "Kyoto, Japan" is several tokens, all of them wanted right behind the prompt."""
    model, tok = tiny_model("gpt2")
    request = REQUESTS[3]
    ids = tok(request.prompt.replace("{}", request.subject))["input_ids"]
    target = tok(f" {request.target}")["input_ids"]
    assert len(target) > 2
    with torch.no_grad():
        after = model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    (computed,) = FineTune(config(steps=1)).compute(bench(model, tok, ()), [request])
    assert computed.log["losses"] == pytest.approx([-float(after[target].mean())], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_trained_and_left_as_it_was(family) -> None:
    model, tok = tiny_model(family)
    model.train()
    anatomy = anatomy_of(model)
    anatomy.weight(model, 1).requires_grad_(False)
    model.get_input_embeddings().weight.grad = torch.ones_like(model.get_input_embeddings().weight)
    before = state_of(model)
    first, second = FineTune(config()).together(bench(model, tok, ()), [CASE, [(REQUESTS[3], None)]])
    assert state_of(model) == before
    model.eval()
    for computed in (first, second):
        losses = computed.log["losses"]
        assert losses[-1] < losses[0]
        assert computed.delta.names == (anatomy.weight_name(1),)
        computed.delta.check_base(model)
    # The edited model begins where one more step of the training would have begun.
    (longer,) = FineTune(config(steps=5)).together(bench(model, tok, ()), [CASE])
    with first.delta.apply(model):
        (now,) = FineTune(config(steps=1)).together(bench(model, tok, ()), [CASE])
    assert now.log["losses"][0] == pytest.approx(longer.log["losses"][4], rel=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("epsilon", [1e-4, 3e-5])
def test_no_entry_leaves_the_bound(family, epsilon) -> None:
    """Not by the last bit: neither in the delta nor in the weights that it is applied to."""
    model, tok = tiny_model(family)
    settings = BoundedConfig(layer=0, steps=6, epsilon=epsilon)
    (computed,) = FineTuneBounded(settings).compute(bench(model, tok, ()), [REQUEST])
    (update,) = computed.delta.updates
    bound = torch.tensor(epsilon)
    assert float(update.dense().abs().max()) == float(bound)
    weight = anatomy_of(model).weight(model, 0)
    before = weight.detach().clone()
    with computed.delta.apply(model):
        assert bool((weight <= before + bound).all())
        assert bool((weight >= before - bound).all())
    free = FineTune(config(layer=0, steps=6)).compute(bench(model, tok, ()), [REQUEST])[0]
    assert float(free.delta.updates[0].dense().abs().max()) > 10 * epsilon


def test_apply_revert_save_and_export_work_as_for_any_delta(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)["bytes"]
    (computed,) = FineTune(config()).compute(bench(model, tok, ()), [REQUEST])
    stack = DeltaStack(model)
    loaded = LowRankDelta.load(computed.delta.save(tmp_path / "delta"), model)
    weight = anatomy_of(model).weight(model, 1)
    expected = weight.detach() + computed.delta.updates[0].dense().T
    stack.apply(loaded)
    assert torch.equal(weight, expected)
    stack.revert_all()
    assert state_of(model)["bytes"] == before
    assert computed.delta.rank == D < D_FF
    assert computed.delta.export(model, tmp_path / "adapter").is_dir()


def test_training_stops_below_the_stop_loss_without_a_step() -> None:
    model, tok = tiny_model("gpt2")
    (computed,) = FineTune(config(stop_loss=100.0)).compute(bench(model, tok, ()), [REQUEST])
    assert len(computed.log["losses"]) == 1
    assert not computed.delta.updates[0].dense().any()
    settings = config(steps=20, learning_rate=0.02, stop_loss=2.8, loss="target")
    (long,) = FineTune(settings).compute(bench(model, tok, ()), [REQUEST])
    assert 1 < len(long.log["losses"]) < 20
    assert long.log["losses"][-1] < 2.8 <= min(long.log["losses"][:-1])


def test_an_edit_does_not_depend_on_the_other_cases() -> None:
    model, tok = tiny_model("gpt2")
    alone = FineTune(config()).compute(bench(model, tok, ()), [REQUEST])[0]
    beside = FineTune(config()).compute(bench(model, tok, ()), REQUESTS)[0]
    assert alone.delta.id == beside.delta.id


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_model_is_as_before_when_it_is_interrupted(error, monkeypatch) -> None:
    model, tok = tiny_model("mistral")
    model.train()
    before = state_of(model)

    def step(self: torch.optim.Adam) -> None:
        raise error

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    with pytest.raises(error):
        FineTune(config()).together(bench(model, tok, ()), [CASE])
    assert state_of(model) == before


def test_a_training_that_leaves_the_numbers_is_refused_and_leaves_no_trace() -> None:
    model, tok = tiny_model("gpt2")
    with torch.no_grad():
        anatomy_of(model).weight(model, 2).fill_(float("nan"))
    before = state_of(model)
    with pytest.raises(EditDiverged, match="loss is nan at step 0.*float32"):
        FineTune(config()).compute(bench(model, tok, ()), [REQUEST])
    assert state_of(model) == before


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_may_have_switched_gradients_off(mode) -> None:
    model, tok = tiny_model("gpt2")
    expected = FineTune(config()).compute(bench(model, tok, ()), [REQUEST])[0].delta.id
    with mode():
        assert FineTune(config()).compute(bench(model, tok, ()), [REQUEST])[0].delta.id == expected


def test_a_bfloat16_model_is_trained_and_stays_bfloat16() -> None:
    model, tok = tiny_model("llama")
    model.to(torch.bfloat16)
    (computed,) = FineTune(config()).compute(bench(model, tok, ()), [REQUEST])
    assert computed.log["losses"][-1] < computed.log["losses"][0]
    with computed.delta.apply(model):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_progress_manifest_and_empty_lists() -> None:
    model, tok = tiny_model("gpt2")
    seen: list[tuple[str, int, int]] = []
    work = bench(model, tok, (), seed=7, progress=lambda *event: seen.append(event))
    found = FineTuneBounded(BoundedConfig(layer=1, steps=2)).compute(work, REQUESTS[:2])
    assert seen == [("train", 1, 2), ("train", 2, 2)]
    manifest = json.loads(json.dumps(found[0].delta.manifest))
    assert (manifest["method"], manifest["seed"]) == ("ft-l", 7)
    assert BoundedConfig.model_validate(manifest["settings"]) == BoundedConfig(layer=1, steps=2)
    assert manifest["losses"] == found[0].log["losses"]
    assert FineTune(config()).compute(work, []) == FineTune(config()).together(work, []) == []
    with pytest.raises(EditError, match="case 0 of 1 has no edit"):
        FineTune(config()).together(work, [[]])


@pytest.mark.parametrize(
    ("request_", "layer", "error"),
    [
        (Request("Marie Curie", "{} is a citizen of", " "), 1, TargetError),
        (Request("Marie Curie", "Marie Curie is a citizen of", "Poland"), 1, PromptError),
        (Request("Marie Curie", "{} is a citizen of" + " the capital of" * 60, "Poland"), 1, PromptError),
        (REQUEST, 3, NoSuchLayer),
    ],
)
def test_impossible_requests_leave_no_trace(request_, layer, error) -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    with pytest.raises(error):
        FineTune(config(layer=layer)).compute(bench(model, tok, ()), [REQUEST, request_])
    assert state_of(model) == before


def test_the_defaults_are_the_published_ones() -> None:
    published = {
        "layer": 1, "steps": 25, "learning_rate": 5e-4, "weight_decay": 0.0, "stop_loss": 0.01, "epsilon": None,
        "loss": "prompt_last", "ending": "",
        "gate": None,
    }  # fmt: skip
    assert FineTuneConfig(layer=1).model_dump() == published
    assert BoundedConfig(layer=1).model_dump() == published | {"epsilon": 5e-4}
    assert (FineTune(config()).name, FineTuneBounded(BoundedConfig(layer=0)).name) == ("ft", "ft-l")
    for wrong in ({"epsilon": 0.0}, {"steps": 0}, {"loss": "all"}, {"learning_rate": -1}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            config(**wrong)


def test_ft_m_scores_each_token_of_the_object_behind_those_before_it_and_bounds_nothing() -> None:
    method, _ = method_for("a model of no preset", "ft:ft-m", 32)
    assert (method.config.layer, method.config.loss, method.config.epsilon) == (21, "target", None)
    assert (method.config.steps, method.config.learning_rate) == (25, 5e-4)
