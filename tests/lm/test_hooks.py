"""Hooks see what the model computes, change what they are told to, and are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import nn

from families import D_FF, FAMILIES, D, tiny_model
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.hooks import add_at, capture, frozen, head_at, only_at, replay, rewrap, unwrap

IDS = torch.tensor([[5, 9, 30], [7, 7, 8]])


def _traces(model: nn.Module) -> int:
    """How many hooks and swapped forwards a model carries."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in m.__dict__) for m in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_captured_key_and_value_satisfy_the_matrix(family: str) -> None:
    """m = W k + b holds between what is captured, in every family: so k, m and the orientation are right."""
    model, _ = tiny_model(family)
    anatomy = anatomy_of(model)
    module = anatomy.mlp_out(model, 1)
    with (
        torch.no_grad(),
        capture({"m": module}, rows=2) as values,
        capture({"k": module}, inputs=True, rows=2) as keys,
    ):
        model(input_ids=IDS)
    assert keys["k"].shape == (2, 3, D_FF)
    assert values["m"].shape == (2, 3, D)
    weight = to_math(anatomy.weight(model, 1), anatomy.conv1d)
    assert weight.shape == (D, D_FF)
    expected = keys["k"] @ weight.T + (module.bias if module.bias is not None else 0)
    torch.testing.assert_close(values["m"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_stop_runs_nothing_above_the_module(family: str) -> None:
    model, _ = tiny_model(family)
    anatomy = anatomy_of(model)
    ran = []
    for layer, block in enumerate(anatomy.blocks(model)):
        block.register_forward_pre_hook(lambda module, args, layer=layer: ran.append(layer))
    with torch.no_grad(), capture({"h": anatomy.block(model, 1)}, stop=True) as stopped:
        model(input_ids=IDS)
    assert ran == [0, 1]
    with torch.no_grad(), capture({"h": anatomy.block(model, 1)}) as full:
        model(input_ids=IDS)
    assert torch.equal(stopped["h"], full["h"])


@pytest.mark.parametrize("family", FAMILIES)
def test_add_at_equals_a_changed_bias(family: str) -> None:
    """Adding a vector to m everywhere is what adding it to the bias of the matrix does."""
    model, _ = tiny_model(family)
    anatomy = anatomy_of(model)
    module = anatomy.mlp_out(model, 0)
    vector = torch.linspace(-1, 1, D)
    with torch.no_grad():
        with add_at(module, lambda m: m + vector, rows=2):
            hooked = model(input_ids=IDS).logits
        clean = model(input_ids=IDS).logits
        module.bias = nn.Parameter((module.bias if module.bias is not None else 0) + vector)
        biased = model(input_ids=IDS).logits
    torch.testing.assert_close(hooked, biased, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(hooked, clean)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "manager",
    [
        lambda model, a: capture({"x": a.block(model, 0), "y": a.mlp_out(model, 1)}),
        lambda model, a: capture({"x": a.block(model, 0)}, inputs=True, stop=True),
        lambda model, a: add_at(a.block(model, 1), lambda h: h),
        lambda model, a: replay(model, a, 2, torch.zeros(2, 3, D)),
        lambda model, a: head_at(model, torch.zeros(1).long(), torch.zeros(1).long()),
        lambda model, a: frozen(model),
    ],
)
def test_nothing_is_left_behind(
    manager: Callable[..., AbstractContextManager[object]], error: type[BaseException]
) -> None:
    model, _ = tiny_model("gptj")
    anatomy = anatomy_of(model)
    model.get_submodule("transformer.h.1").train()
    model.get_parameter("transformer.wte.weight").requires_grad_(False)
    flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    with torch.no_grad():
        before = model(input_ids=IDS).logits
        with pytest.raises(error), manager(model, anatomy):
            raise error
        after = model(input_ids=IDS).logits
    assert _traces(model) == 0
    assert flags == ([m.training for m in model.modules()], [p.requires_grad for p in model.parameters()])
    assert torch.equal(before, after)


def test_an_error_inside_a_hook_reaches_the_caller_and_cleans_up() -> None:
    model, _ = tiny_model("gpt2")

    def broken(h: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"), add_at(anatomy_of(model).block(model, 0), broken):
        model(input_ids=IDS)
    assert _traces(model) == 0


def test_frozen_stops_dropout_and_parameter_gradients_only() -> None:
    model, _ = tiny_model("gpt2", resid_pdrop=0.5)
    model.train()
    offset = torch.zeros(D, requires_grad=True)
    with frozen(model), add_at(anatomy_of(model).mlp_out(model, 0), lambda m: m + offset):
        first = model(input_ids=IDS).logits
        assert torch.equal(first, model(input_ids=IDS).logits)
        first.sum().backward()
    assert offset.grad is not None
    assert all(p.grad is None for p in model.parameters())
    assert model.training


def test_wrapping_keeps_the_kind() -> None:
    new = torch.ones(1)
    for output in (torch.zeros(1), (torch.zeros(1), None), [torch.zeros(1), 2]):
        assert unwrap(rewrap(output, new)) is new
        assert type(rewrap(output, new)) is type(output)
    assert rewrap((torch.zeros(1), "cache"), new)[1] == "cache"
    with pytest.raises(TypeError, match="NoneType"):
        unwrap((None, 1))


def test_a_module_at_some_places_gives_there_what_it_gives_and_zeros_elsewhere() -> None:
    """A place that is named twice is computed once, and its gradient is that of the module itself."""
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))
    hidden, rows, columns = torch.randn(2, 3, 4), torch.tensor([1, 0, 1]), torch.tensor([2, 0, 2])
    places = torch.zeros(2, 3, 1)
    places[rows, columns] = 1.0
    seen: list[torch.Size] = []
    handle = mlp[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    with_hooks, whole = (hidden.clone().requires_grad_() for _ in range(2))
    with only_at(mlp, rows, columns):
        few = mlp(with_hooks)
    assert seen == [torch.Size([1, 2, 6])]
    handle.remove()
    every = mlp(whole) * places
    torch.testing.assert_close(few, every)
    few.square().sum().backward()
    every.square().sum().backward()
    torch.testing.assert_close(with_hooks.grad, whole.grad)
    assert _traces(mlp) == 0
