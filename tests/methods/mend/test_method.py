"""MEND ("mend") on tiny models: what it writes before training, and every family."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import DeltaStack, LowRankDelta
from kgedit.errors import SettingError, UntrainedEditor
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.methods.base import Method
from kgedit.methods.computing import compute_each
from kgedit.methods.mend.method import Mend, MendConfig
from kgedit.methods.registry import load_method
from methods.benches import REQUESTS, bench, small, state_of


def plain_gradient(model, tok, request) -> dict[str, torch.Tensor]:
    """Of the mean loss of the new object, as torch computes it."""
    prompt = tok(request.prompt.replace("{}", request.subject))["input_ids"]
    target = tok(f"is {request.target}")["input_ids"][len(tok("is")["input_ids"]) :]
    logits = model(input_ids=torch.tensor([prompt + target[:-1]])).logits[0, len(prompt) - 1 :]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(target))
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_before_training_it_is_a_plain_gradient_step_on_every_family(family) -> None:
    model, tok = tiny_model(family)
    before = state_of(model)
    method = small("mend", first_step=0.02, layers=(1, 2))
    computed = method.compute(bench(model, tok, ()), REQUESTS[:2])
    assert state_of(model) == before
    for request, one in zip(REQUESTS[:2], computed, strict=True):
        gradient = plain_gradient(model, tok, request)
        for update in one.delta.updates:
            step = 0.02 * to_math(gradient[update.name], update.conv1d)
            assert float((update.dense() + step).norm()) < 1e-4 * float(step.norm())
    assert {update.name.split(".")[-4] for update in computed[0].delta.updates} >= {"1", "2"} or family == "opt"


def test_a_change_has_the_rank_of_the_edits_tokens_and_is_saved_reverted_and_exported(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)["bytes"]
    (computed,) = small("mend", layers=(2,)).together(bench(model, tok, ()), [[(r, None) for r in REQUESTS[:2]]])
    tokens = sum(len(tok(f"{r.prompt.replace('{}', r.subject)} {r.target}")["input_ids"]) - 1 for r in REQUESTS[:2])
    assert computed.delta.rank == tokens
    stack = DeltaStack(model)
    stack.apply(LowRankDelta.load(computed.delta.save(tmp_path / "delta"), model))
    assert state_of(model)["bytes"] != before
    stack.revert_all()
    assert state_of(model)["bytes"] == before
    assert computed.delta.export(model, tmp_path / "adapter").is_dir()


def test_a_gate_stands_before_second_matrices_only() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    with pytest.raises(SettingError, match="a gate stands before MLP output matrices only"):
        compute_each(small("mend", layers=(1,), gate=0.9), work, REQUESTS[:1], [None])
    method = small("mend", layers=(1,), gate=0.9, matrices="output")
    assert compute_each(method, work, REQUESTS[:1], [None])[0].delta.names == (anatomy_of(model).weight_name(1),)


@pytest.mark.parametrize("name", ["mend", "ke"])
def test_an_editor_that_was_not_trained_names_the_command_that_trains_it(name) -> None:
    model, tok = tiny_model("gpt2")
    kind = load_method(name)
    method: Method = kind(kind.Config.model_validate({"layers": (1,)}))
    with pytest.raises(UntrainedEditor, match=f"train it once: kgedit train-editor --method {name} --model MODEL"):
        method.compute(bench(model, tok, ()), REQUESTS[:1], [None])


def test_a_trained_editor_is_for_the_settings_that_it_was_trained_with(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    trained = Mend(MendConfig(layers=(1,), rank=4)).fresh(work)
    path = str(trained.save(tmp_path / "mend.safetensors"))
    Mend(MendConfig(layers=(1,), rank=4, editor=path, learning_rate=0.1)).compute(work, REQUESTS[:1])
    with pytest.raises(SettingError, match=r"trained with layers \[1\], not \[2\]"):
        Mend(MendConfig(layers=(2,), rank=4, editor=path)).compute(work, REQUESTS[:1])
