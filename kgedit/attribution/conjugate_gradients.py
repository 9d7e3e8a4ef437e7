"""Conjugate gradients (Hestenes and Stiefel, 1952) for (H + lambda I) x = b, with H known by its products alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Vector = Mapping[str, Tensor]


def conjugate_gradients(
    product: Callable[[Vector], Vector], right: Vector, damping: float, *, iterations: int, tolerance: float = 1e-4
) -> tuple[dict[str, Tensor], float]:
    """The solution x, started at zero.

    Args:
        product: Gives H v for a vector v, which is held in named parts.
        right: b.
        damping: lambda.
        iterations: Most steps.
        tolerance: The residual, relative to b, at which it stops.

    Returns:
        x, and the relative residual |b - (H + lambda I) x| / |b| that is left.
    """
    x = {name: torch.zeros_like(part) for name, part in right.items()}
    residual = {name: part.clone() for name, part in right.items()}
    direction = {name: part.clone() for name, part in right.items()}
    start = squared = _dot(residual, residual)
    for _ in range(iterations):
        if squared <= tolerance**2 * start:
            break
        moved = product(direction)
        curved = {name: moved[name] + damping * part for name, part in direction.items()}
        step = squared / _dot(direction, curved)
        for name, part in direction.items():
            x[name] += step * part
            residual[name] -= step * curved[name]
        before, squared = squared, _dot(residual, residual)
        for name, part in direction.items():
            part.mul_(squared / before).add_(residual[name])
    return x, (squared / start) ** 0.5 if start else 0.0


def _dot(first: Vector, second: Vector) -> float:
    return sum(float((part * second[name]).sum()) for name, part in first.items())
