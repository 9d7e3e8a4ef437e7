"""The optimiser of m*: minima that are known, one evaluation at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kgedit.methods.engine.lbfgs import Lbfgs


def minimise(
    loss: Callable[[Tensor], Tensor], start: list[float], evaluations: int, **kwargs: float
) -> tuple[Tensor, list[float]]:
    """Run it on one parameter; the best point and every loss."""
    point = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = Lbfgs([point], **{"first_step": 1.0, "longest_step": 2.0, **kwargs})
    losses, best = [], point.detach().clone()
    for _ in range(evaluations):
        value = loss(point)
        losses.append(float(value.detach()))
        if losses[-1] == min(losses):
            best = point.detach().clone()
        value.backward()
        optimizer.step(losses[-1])
    return best, losses


def test_a_quadratic_is_solved() -> None:
    matrix = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 0.1]], dtype=torch.float64)
    wanted = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    best, _ = minimise(lambda x: (x - wanted) @ matrix @ (x - wanted) / 2, [0.0, 0.0, 0.0], 40)
    assert best.tolist() == pytest.approx(wanted.tolist(), abs=1e-6)


def test_a_bent_valley_is_followed_to_its_end() -> None:
    best, losses = minimise(lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2, [-1.2, 1.0], 80)
    assert best.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    assert losses[0] == pytest.approx(24.2)  # the textbook's starting value


def test_the_first_step_goes_downhill_by_its_length_and_none_is_longer_than_allowed() -> None:
    points: list[Tensor] = []

    def loss(x: Tensor) -> Tensor:
        points.append(x.detach().clone())
        return (x**2).sum() / 1e4  # so flat that every step would be a long one

    minimise(loss, [300.0, 400.0], 12, first_step=5.0, longest_step=10.0)
    lengths = [float((b - a).norm()) for a, b in zip(points, points[1:], strict=False)]
    assert points[1].tolist() == pytest.approx([297.0, 396.0])
    assert max(lengths) == pytest.approx(10.0)


def test_a_step_that_goes_too_far_is_shortened_along_its_direction() -> None:
    points: list[float] = []

    def loss(x: Tensor) -> Tensor:
        points.append(float(x.detach()))
        return (x**2).sum()

    minimise(loss, [1.0], 3, first_step=4.0, longest_step=4.0)
    # From 1 to -3 the loss rises from 1 to 9; the parabola through both, with slope -2 * 4 at 1, has its minimum at 0.
    assert points == pytest.approx([1.0, -3.0, 0.0])


def test_it_comes_back_from_where_there_is_no_loss() -> None:
    best, losses = minimise(lambda x: x[0] - torch.log(x[0]), [3.0], 40, first_step=9.0, longest_step=9.0)
    assert any(loss != loss for loss in losses)  # it did step over the edge
    assert best.tolist() == pytest.approx([1.0], abs=1e-5)


def test_parameters_without_a_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.full((2, 2), 7.0))
    optimizer = Lbfgs([used, unused], first_step=0.5, longest_step=1.0)
    (used**2).sum().backward()
    optimizer.step(2.0)
    assert unused.tolist() == [[7.0, 7.0], [7.0, 7.0]]
    assert used.tolist() != [1.0, 1.0]
    assert used.grad is None
