"""Twins share a model's weights and nothing else; what threads compute on them is what one after another gives."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch

from families import tiny_model
from kgedit.lm.activations import fused_activations
from kgedit.lm.hooks import add_at
from kgedit.lm.twins import Twins, is_plain


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_twins_have_modules_of_their_own_and_the_same_weights() -> None:
    model, _ = tiny_model("gpt2")
    first, second = Twins(model, 3).models
    assert first is model
    assert not {id(part) for part in first.modules()} & {id(part) for part in second.modules()}
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert a is b
    assert second.lm_head.weight is second.transformer.wte.weight
    # A hook on one is none on the other.
    with add_at(first.transformer.h[0], lambda state: state * 0):
        assert not second.transformer.h[0]._forward_hooks


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_order_from_two_threads_with_the_gradients_of_the_caller() -> None:
    model, _ = tiny_model("gpt2")
    twins = Twins(model, 5)
    trees = twins.shared_out([1, 1, 5, 1, 1])
    # The third is as much work as the others together, so it has a tree of its own.
    assert trees == [1, 1, 0, 1, 1]

    def work(number: int) -> tuple[int, str, bool, int]:
        return number, threading.current_thread().name, torch.is_grad_enabled(), torch.get_num_threads()

    with torch.no_grad():
        found = twins.each(trees, [partial(work, number) for number in range(5)])
    assert [number for number, *_ in found] == [0, 1, 2, 3, 4]
    assert {(grad, threads) for _, _, grad, threads in found} == {(False, 1)}
    assert threading.current_thread().name not in {name for _, name, *_ in found}
    assert torch.get_num_threads() == 2
    assert all(grad for _, _, grad, _ in twins.each(trees, [partial(work, number) for number in range(5)]))

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        twins.each(trees, [fail] * 5)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_model_with_hooks_of_others_has_no_twin_and_one_with_fused_activations_has() -> None:
    model, _ = tiny_model("gpt2")
    with fused_activations(model):
        assert is_plain(model)
        assert len(Twins(model, 2).models) == 2
    with add_at(model.transformer.h[1], lambda state: state):
        assert not is_plain(model)
        assert Twins(model, 2).models == [model]
    model.transformer.h[1].forward = model.transformer.h[1].forward
    assert Twins(model, 2).models == [model]
