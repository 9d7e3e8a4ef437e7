"""Products with the Gauss-Newton matrix against differences of the logits."""

from __future__ import annotations

import pytest
import torch

from families import tiny_model
from kgedit.attribution.gauss_newton import gauss_newton_product
from kgedit.attribution.texts import TrainingTexts
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.edit_gradient import mlp_matrices

TEXTS = ["The capital of France is Paris.", "Tokyo.", "Marie Curie works in the field of physics."]


@pytest.mark.parametrize("family", ["gpt2", "opt", "gemma2"])
def test_products_are_those_of_differences(family) -> None:
    model, tokenizer = tiny_model(family)
    matrices = mlp_matrices(model, anatomy_of(model), [0, 2], output_only=True)
    generator = torch.Generator().manual_seed(0)
    vector = {matrix.name: torch.randn(matrix.shape, generator=generator) for matrix in matrices}
    texts = TrainingTexts(model, tokenizer, TEXTS, 24)
    with frozen(model), torch.enable_grad():
        found = gauss_newton_product(model, matrices, texts, [0, 1, 2], vector)
    assert all(parameter.grad is None for parameter in model.parameters())

    # The same in float64: J v by central differences of the weights, J^T by the backward pass, text by text.
    exact, _ = tiny_model(family)
    exact.double()
    turned = {m.name: (vector[m.name].T if m.conv1d else vector[m.name]).double() for m in matrices}
    weights = {m.name: exact.get_parameter(m.name) for m in matrices}
    expected = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]

        def logits(ids: torch.Tensor = ids) -> torch.Tensor:
            return exact(ids).logits[0, :-1]

        sides = []
        with torch.no_grad():
            for step in (1e-5, -2e-5):
                for name, weight in weights.items():
                    weight.add_(step * turned[name])
                sides.append(logits())
            for name, weight in weights.items():
                weight.add_(1e-5 * turned[name])
        along = (sides[0] - sides[1]) / 2e-5
        plain = logits()
        p = plain.softmax(-1).detach()
        curved = p * (along - (p * along).sum(-1, keepdim=True)) / len(p)
        for name, part in zip(weights, torch.autograd.grad(plain, list(weights.values()), curved), strict=True):
            expected[name] += part / len(TEXTS)
    for matrix in matrices:
        right = expected[matrix.name].T if matrix.conv1d else expected[matrix.name]
        assert float((found[matrix.name] - right).norm()) < 5e-3 * float(
            right.norm()
        )  # gemma2's norms are taken in float32 there, too
