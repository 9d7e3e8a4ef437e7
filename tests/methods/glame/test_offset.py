"""GLAME's offset: the clamp keeps the direction of z, however long z is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch_geometric.data import Data

from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.offset import GraphOffset

GPT_J_WIDTH = 4096


class LongVector(nn.Module):
    """An encoder that gives one vector, as long as a few published steps of rate 0.5 make it."""

    def __init__(self, z: Tensor) -> None:
        super().__init__()
        self.z = nn.Parameter(z)

    def forward(self, graph: Data) -> Tensor:
        return self.z.unsqueeze(0)


@pytest.mark.parametrize("times", [2.0, 1e3, 1e7])
def test_clamp_without_gradient_keeps_the_direction_of_a_long_z_at_the_width_of_gpt_j(times):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(1, GPT_J_WIDTH, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(GPT_J_WIDTH, generator=generator), dim=0)
    bound = 4.0 * base.norm()
    encoder = LongVector(direction * bound * times)
    offset = GraphOffset(GlameConfig.paper(), base, encoder, Data())
    clamped = offset.current(step=1)
    assert_close(clamped[0], direction * bound, rtol=1e-5, atol=0)
    assert_close(clamped, offset.final(), rtol=0, atol=0)


def test_published_clamp_lets_the_gradient_through_as_if_it_were_not_there():
    base = torch.ones(1, 8)
    encoder = LongVector(torch.full((8,), 1e6))
    offset = GraphOffset(GlameConfig.paper(), base, encoder, Data())
    weights = torch.arange(8.0)
    (offset.current(step=1)[0] @ weights).backward()
    assert_close(encoder.z.grad, weights, rtol=0, atol=0)
