"""Gradients in factors are torch's own, and a change in factors is the changed weight's, text by text."""

from __future__ import annotations

import math

import pytest
import torch

from families import D_FF, D, tiny_model
from kgedit.errors import NoSuchLayer
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.edit_gradient import ScoredTexts, changed, edit_gradient, mlp_matrices
from methods.benches import state_of

ROWS = [((5, 6, 7, 8), (9, 10)), ((11, 12), (13,)), ((14, 15, 16), (17, 18, 19))]


@pytest.mark.parametrize("family", ["gpt2", "gptj", "opt", "phi3", "gemma2"])
def test_the_product_of_the_factors_is_the_gradient_of_each_text(family) -> None:
    model, _ = tiny_model(family)
    smoothing = 0.1
    matrices = mlp_matrices(model, anatomy_of(model), [1, 2], output_only=False)
    assert len(matrices) in (4, 6)
    before = state_of(model)
    with frozen(model):
        found = edit_gradient(model, matrices, ScoredTexts(ROWS, 0, model.device), smoothing=smoothing)
    assert state_of(model) == before
    for number, row in enumerate(ROWS):
        alone = ScoredTexts([row], 0, model.device)
        (loss,) = alone.losses(alone.logits(model, alone.text_of, alone.column), smoothing=smoothing)
        weights = [model.get_parameter(matrix.name) for matrix in matrices]
        for matrix, gradient in zip(matrices, torch.autograd.grad(loss, weights), strict=True):
            u, delta = (factor[number] for factor in found[matrix.name])
            expected = to_math(gradient, matrix.conv1d)
            assert expected.shape == matrix.shape
            assert float((delta.T @ u - expected).norm()) < 1e-4 * float(expected.norm())


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama"])
def test_each_text_of_a_batch_meets_its_own_change(family) -> None:
    model, _ = tiny_model(family)
    matrices = mlp_matrices(model, anatomy_of(model), [0, 2], output_only=False)
    generator = torch.Generator().manual_seed(0)
    changes = {
        matrix.name: tuple(0.1 * torch.randn(2, 3, size, generator=generator) for size in reversed(matrix.shape))
        for matrix in matrices
    }
    texts = ScoredTexts(ROWS, 0, model.device)
    with frozen(model), torch.no_grad(), changed(matrices, changes, torch.tensor([1, 0, 1])):
        found = texts.losses(texts.logits(model, texts.text_of, texts.column))
    for number, edit in enumerate((1, 0, 1)):
        written, _ = tiny_model(family)
        alone = ScoredTexts([ROWS[number]], 0, model.device)
        with torch.no_grad():
            for matrix in matrices:
                left, right = (factor[edit] for factor in changes[matrix.name])
                to_math(written.get_parameter(matrix.name), matrix.conv1d).add_(right.T @ left)
            (expected,) = alone.losses(alone.logits(written, alone.text_of, alone.column))
        assert float(found[number]) == pytest.approx(float(expected), rel=1e-4)


def test_losses_and_answers_by_hand() -> None:
    """Two texts, the first of two wanted tokens: means over each text's tokens, with and without smoothing."""
    texts = ScoredTexts([((0, 1), (2, 3)), ((1,), (0,))], 0, torch.device("cpu"))
    assert texts.texts == [(0, 1, 2), (1,)]
    assert (texts.text_of.tolist(), texts.column.tolist()) == ([0, 0, 1], [1, 2, 0])
    odds = torch.tensor([[1.0, 1, 4, 2], [1, 1, 1, 1], [5, 1, 1, 1]])
    logits = odds.log()
    first = -(math.log(4 / 8) + math.log(1 / 4)) / 2
    assert texts.losses(logits).tolist() == pytest.approx([first, -math.log(5 / 8)])
    spread = -(math.log(5 / 8) + 3 * math.log(1 / 8)) / 4
    assert float(texts.losses(logits, smoothing=0.2)[1]) == pytest.approx(-0.8 * math.log(5 / 8) + 0.2 * spread)
    assert texts.exact(logits).tolist() == [False, True]


def test_the_second_matrices_alone_and_a_layer_that_is_not_there() -> None:
    model, _ = tiny_model("llama")
    (only,) = mlp_matrices(model, anatomy_of(model), [1], output_only=True)
    assert (only.name, only.shape) == (anatomy_of(model).weight_name(1), (D, D_FF))
    with pytest.raises(NoSuchLayer):
        mlp_matrices(model, anatomy_of(model), [3], output_only=True)
