"""Joint writes taken apart, change by change."""

from __future__ import annotations

import pytest
import torch

from kgedit.delta import LowRankDelta, WeightUpdate
from kgedit.ingest.decide.writer import columns


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_joint_write_is_the_sum_of_its_columns() -> None:
    joint = LowRankDelta((WeightUpdate("a.weight", draw(6, 3), draw(4, 3, seed=9)),), "base", {"method": "memit"})
    parts = columns(joint, (0, 1, 2))
    total = sum((part.updates[0].dense() for part in parts), torch.zeros(4, 6))
    assert torch.allclose(total, joint.updates[0].dense(), atol=1e-6)
    assert [part.manifest["column"] for part in parts] == [0, 1, 2]
    assert len({part.id for part in parts}) == 3
    with pytest.raises(ValueError, match="low-rank delta of rank 2"):
        columns(joint, (0, 1))


def test_an_edit_takes_the_column_of_its_inverse_along() -> None:
    joint = LowRankDelta((WeightUpdate("a.weight", draw(6, 3), draw(4, 3, seed=9)),), "base", {})
    first, second = columns(joint, (0, 1, 0))
    assert (first.rank, second.rank) == (2, 1)
    total = first.updates[0].dense() + second.updates[0].dense()
    assert torch.allclose(total, joint.updates[0].dense(), atol=1e-6)
