"""Models and deltas that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from families import tiny_model
from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.lm.anatomy import anatomy_of

MakeDelta = Callable[..., LowRankDelta]


@pytest.fixture
def gpt2() -> nn.Module:
    return tiny_model("gpt2")[0]


@pytest.fixture
def llama() -> nn.Module:
    return tiny_model("llama")[0]


@pytest.fixture
def make_delta() -> MakeDelta:
    """A random delta on the MLP output matrices of some layers, computed on the model as it is."""

    def make(model: nn.Module, *, layers=(0,), rank=1, seed=0, scale=0.3, manifest=None) -> LowRankDelta:
        generator = torch.Generator().manual_seed(seed)
        anatomy = anatomy_of(model)
        updates = []
        for layer in layers:
            name = anatomy.weight_name(layer)
            shape = model.get_parameter(name).shape
            d_in, d_out = shape if anatomy.conv1d else shape[::-1]
            left = torch.randn(d_in, rank, generator=generator)
            right = scale * torch.randn(d_out, rank, generator=generator)
            updates.append(WeightUpdate(name, left, right, anatomy.conv1d))
        names = [update.name for update in updates]
        return LowRankDelta(tuple(updates), hash_weights(model, names), manifest or {})

    return make
