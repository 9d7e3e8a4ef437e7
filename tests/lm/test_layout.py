"""Rows are laid out around their pivots, and positions count tokens only."""

from __future__ import annotations

import pytest
import torch

from kgedit.lm.layout import align, position_ids


def test_pivots_share_a_column() -> None:
    got = align([[1, 2, 3, 4], [5, 6], [7]], [2, 0, 0], 9)
    assert got.column == 2
    assert got.ids.tolist() == [[1, 2, 3, 4], [9, 9, 5, 6], [9, 9, 7, 9]]
    assert got.mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0]]
    assert got.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_positions_ignore_padding_on_either_side() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 0], [1, 1, 1, 1, 1]])
    assert position_ids(mask).tolist() == [[0, 0, 0, 1, 1], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("pivot", [-1, 2])
def test_a_pivot_outside_its_row_is_refused(pivot: int) -> None:
    with pytest.raises(ValueError, match=f"pivot {pivot} is outside its row of 2"):
        align([[1, 2]], [pivot], 0)
    with pytest.raises(ValueError, match="zip"):
        align([[1, 2]], [0, 0], 0)
