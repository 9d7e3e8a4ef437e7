"""Gradients of a batch do not depend on the order in which threads come."""

from __future__ import annotations

import torch

from kgedit.methods.engine.padded_batch import per_row
from methods.atomic_sums import RepeatedIndices


def test_gradients_of_offsets_are_added_up_in_the_order_of_the_rows() -> None:
    edit_of = torch.tensor([0, 0, 1, 1, 1])
    above = torch.arange(30.0).view(5, 2, 3)
    offsets = torch.zeros(2, 2, 3, requires_grad=True)
    with RepeatedIndices() as seen:
        of_row = per_row(offsets, edit_of)
        (gradient,) = torch.autograd.grad(of_row, offsets, above)
    assert torch.equal(of_row, torch.zeros(5, 2, 3))
    assert torch.equal(gradient, torch.stack([above[:2].sum(dim=0), above[2:].sum(dim=0)]))
    assert seen.found == []
