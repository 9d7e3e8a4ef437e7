"""MEND's transform by hand, on a 2 x 3 weight."""

from __future__ import annotations

import pytest
import torch

from kgedit.methods.engine.edit_gradient import EditedMatrix
from kgedit.methods.mend.method import MendNetwork
from kgedit.methods.mend.transform import GradientTransform, RunningMoments

U = torch.tensor([[[1.0, 2, 0], [0, -1, 3], [0, 0, 0], [4, 4, 4]]])  # one edit, four tokens, d_in = 3
DELTA = torch.tensor([[[0.5, -1], [2, 0], [7, 7], [0, 0]]])  # d_out = 2
# Only the first two tokens have a gradient: 0.5 (1, 2, 0) + 2 (0, -1, 3) and -1 (1, 2, 0).
GRADIENT = torch.tensor([[0.5, -1, 6], [-1, -2, 0]])


def test_before_training_the_change_is_a_plain_gradient_step() -> None:
    matrix = EditedMatrix("block.mlp.weight", torch.nn.Linear(3, 2), 0, (2, 3))
    network = MendNetwork([matrix], 4, 0.25)
    left, right = network({matrix.name: (U, DELTA)}, [()])[matrix.name]
    assert torch.equal(right[0].T @ left[0], -0.25 * GRADIENT)
    # Rows of tokens without a gradient stay zero, whatever the layers have learned.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3)
    left, right = network({matrix.name: (U, DELTA)}, [()])[matrix.name]
    assert not left[0, 2:].any()
    assert not right[0, 2:].any()
    assert left[0, :2].any()


def test_factors_are_normalised_by_the_moments_of_those_that_have_a_gradient() -> None:
    transform = GradientTransform(2, 3, 1, 4)
    transform.observe(U, DELTA)
    assert transform.u_moments.mean.tolist() == pytest.approx([0.5, 0.5, 1.5])
    # Two rows: the distance from the mean is half of that between them, over the deviation sqrt(2) times that half.
    half = 2**-0.5
    new_u, new_delta = transform(U, DELTA, 0)
    expected_u, expected_delta = [[half, half, -half], [-half, -half, half]], [[-half, -half], [half, half]]
    assert torch.allclose(new_u[0, :2], torch.tensor(expected_u), atol=1e-5)
    assert torch.allclose(new_delta[0, :2], torch.tensor(expected_delta), atol=1e-5)


def test_running_moments_are_those_of_all_rows_at_once() -> None:
    rows = torch.randn(23, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    moments = RunningMoments(5)
    for part in (rows[:1], rows[1:9], rows[9:9], rows[9:]):
        moments.observe(part)
    assert torch.allclose(moments(rows), (rows - rows.mean(0)) / rows.std(0), atol=1e-5)


def test_one_layer_by_hand_with_scale_and_shift_of_each_weight() -> None:
    """h + max(scale (U V h + b) + shift, 0), twice, for the second of two weights of one shape."""
    transform = GradientTransform(2, 3, 2, 1)
    first, second = transform.layers
    with torch.no_grad():
        first.v.fill_(1.0)
        first.u.copy_(torch.tensor([[0.5], [0], [0], [0], [-1]]))
        first.b.copy_(torch.tensor([0.0, 1, 0, 0, 0]))
        first.scale[1] = torch.tensor([2.0, 3, 1, 1, 1])
        first.shift[1] = torch.tensor([0.0, 0, 0.5, 0, 0])
    # V h = 1 + 2 + 0 + 0.5 - 1 = 2.5, so 2 * 1.25, 3 * 1, 0.5, 0 and max(-2.5, 0) are added.
    new_u, new_delta = transform(U[:, :1], DELTA[:, :1], 1)
    assert torch.allclose(new_u[0, 0], torch.tensor([1 + 2.5, 2 + 3, 0.5]))
    assert torch.allclose(new_delta[0, 0], torch.tensor([0.5, -1]))
    # A tie of the maximum lets the gradient pass, or nothing could leave the identity.
    transform(U[:, :1], DELTA[:, :1], 0)[0].sum().backward()
    assert second.u.grad is not None
    assert bool(second.u.grad.any())
