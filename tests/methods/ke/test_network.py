"""KE's masks by hand, on a 2 x 3 weight, and what the network begins with."""

from __future__ import annotations

import math

import pytest
import torch

from kgedit.methods.engine.edit_gradient import EditedMatrix
from kgedit.methods.ke.method import KeObjective
from kgedit.methods.ke.network import KeNetwork, Masks

U = torch.tensor([[[1.0, 2, 0], [0, -1, 3]]])  # one edit, two tokens, d_in = 3
DELTA = torch.tensor([[[0.5, -1], [2, 0]]])  # d_out = 2
GRADIENT = torch.tensor([[0.5, -1, 6], [-1, -2, 0]])


def test_the_change_is_the_masked_gradient_by_hand() -> None:
    masks = Masks(
        row_a=torch.tensor([[math.log(3.0), 0.0]]),  # softmax 3/4, 1/4
        col_a=torch.tensor([[1.0, -2, 4]]),
        row_b=torch.tensor([[0.0, math.log(4.0)]]),  # softmax 1/5, 4/5
        col_b=torch.tensor([[10.0, 0, -5]]),
        size=torch.tensor([[math.log(1 / 3)]]),  # sigmoid 1/4
    )
    left, right = masks.change(U, DELTA, 2.0)
    a = torch.tensor([[0.75, -1.5, 3], [0.25, -0.5, 1]])
    b = torch.tensor([[2.0, 0, -1], [8, 0, -4]])
    assert torch.allclose(right[0].T @ left[0], 2 * 0.25 * (GRADIENT * a + b))
    assert left.shape[1] == 3  # the rank of the gradient and one more


def test_before_training_the_change_is_near_a_plain_gradient_step() -> None:
    torch.manual_seed(0)
    matrix = EditedMatrix("block.mlp.weight", torch.nn.Linear(3, 2), 0, (2, 3))
    network = KeNetwork([matrix], torch.randn(50, 8), 1.0)
    with torch.no_grad():
        for head in network.heads:
            head.outer.bias.zero_()
            head.outer.parametrizations.weight.original0.zero_()
        left, right = network({matrix.name: (U, DELTA)}, [(4, 5, 6)])[matrix.name]
    assert torch.allclose(right[0].T @ left[0], -0.5 * GRADIENT)


def test_what_an_edit_says_is_read_alike_alone_and_beside_longer_texts() -> None:
    torch.manual_seed(0)
    matrix = EditedMatrix("block.mlp.weight", torch.nn.Linear(3, 2), 0, (2, 3))
    network = KeNetwork([matrix], torch.randn(50, 8), 1.0)
    alone = network.reader([(4, 5, 6)])
    both = network.reader([(1, 2, 3, 4, 5, 6, 7), (4, 5, 6), (4, 5, 7)])
    assert torch.allclose(alone[0], both[1], atol=1e-6)
    assert not torch.allclose(both[1], both[2], atol=1e-4)


def test_the_multiplier_rises_while_the_constraint_is_broken_and_is_never_negative() -> None:
    objective = KeObjective(0.5, 0.1)
    drift = torch.tensor(2.0, requires_grad=True)
    loss = objective(torch.tensor(3.0), drift)
    assert float(loss.detach()) == pytest.approx(3.0)  # the multiplier's own term cancels in the value
    loss.backward()
    assert (float(drift.grad), float(objective.multiplier.grad)) == (1.0, -1.5)  # descent raises it by 1.5
    with torch.no_grad():
        objective.multiplier.fill_(-2.0)
    objective.bounded()
    assert objective.multiplier.item() == 0.0
    for taken, margin in ((0.9, 0.5), (0.95, 0.4), (1.0, 0.32)):
        objective.looked(taken)
        assert float(objective.margin) == pytest.approx(margin)
    for _ in range(20):
        objective.looked(1.0)
    assert float(objective.margin) == pytest.approx(0.1)
