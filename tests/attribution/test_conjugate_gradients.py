"""Conjugate gradients against a direct solution."""

from __future__ import annotations

import pytest
import torch

from kgedit.attribution.conjugate_gradients import conjugate_gradients


@pytest.fixture
def system():
    """A singular matrix of order 5, its product on vectors in two parts, and a right side."""
    root = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = root @ root.T

    def product(vector):
        moved = matrix @ torch.cat([vector["a"], vector["b"].flatten()])
        return {"a": moved[:3], "b": moved[3:].view(1, 2)}

    right = torch.arange(1.0, 6.0, dtype=torch.float64)
    return matrix, product, right


def test_the_damped_system_is_solved(system) -> None:
    matrix, product, right = system
    x, residual = conjugate_gradients(
        product, {"a": right[:3], "b": right[3:].view(1, 2)}, 0.5, iterations=20, tolerance=1e-10
    )
    exact = torch.linalg.solve(matrix + 0.5 * torch.eye(5, dtype=torch.float64), right)
    torch.testing.assert_close(torch.cat([x["a"], x["b"].flatten()]), exact)
    assert residual < 1e-10


def test_what_is_left_is_told(system) -> None:
    matrix, product, right = system
    parts = {"a": right[:3], "b": right[3:].view(1, 2)}
    x, residual = conjugate_gradients(product, parts, 0.5, iterations=1)
    solved = torch.cat([x["a"], x["b"].flatten()])
    left = right - matrix @ solved - 0.5 * solved
    assert residual == pytest.approx(float(left.norm() / right.norm()))
    assert residual > 0.01
    nothing, residual = conjugate_gradients(
        product, {name: 0 * part for name, part in parts.items()}, 0.5, iterations=9
    )
    assert residual == float(nothing["a"].abs().sum()) == 0.0
