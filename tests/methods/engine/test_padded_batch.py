"""Gradients of a batch do not depend on the order in which threads come."""

from __future__ import annotations

import pytest
import torch

from kgedit.methods.engine.padded_batch import per_row


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_gradients_of_offsets_are_equal_in_every_run_with_two_threads(two_threads):
    generator = torch.Generator().manual_seed(0)
    edit_of = torch.arange(300) * 9 // 300
    above = torch.randn(300, 5, 192, generator=generator)
    offsets = torch.randn(9, 5, 192, generator=generator, requires_grad=True)
    gradients = [torch.autograd.grad(per_row(offsets, edit_of), offsets, above)[0] for _ in range(100)]
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
